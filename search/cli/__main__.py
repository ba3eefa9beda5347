"""The command line as `python -m search.cli`: how its own processes are started."""

from search.cli import main

if __name__ == "__main__":
    main()
