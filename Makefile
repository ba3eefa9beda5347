# make demo: environment, then the quickstart job to its report and export
# make test: environment, then every test but the slow ones (about 20 minutes on 2 cores)
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-slow test-gpu-interpreted check bench-stock bench-cells bench-fused bench-search-cohorts bench-overhead bench-report bench-live-page \
	bench-time-to-best bench-search bench-search-own bench-verdict bench-verdict-bank bench-verdict-jobs bench-published bench-text bench-missing bench-large-data bench-forecast bench-gpu bench-gpu-compile bench-tracking clean

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,deploy]'
	touch $(READY)

demo: $(READY)
	$(BIN)/gatesearch run deploy/jobs/quickstart.yaml

# Two files of tests at a time, each with one thread for its products.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow --timeout 3600

# Kernels for GPUs, run in Python by Triton, which takes a gigabyte of .venv.
test-gpu-interpreted: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[gpu-test]'
	TRITON_INTERPRET=1 $(BIN)/python -m pytest -m interpreted

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_structure.py

# The same search by a stock script and by gatesearch, in turn.
bench-stock: $(READY)
	$(BIN)/python tests/benchmarks/stock.py

# The mirror to MLflow: against ray's callback, as journals grow, and what it costs a search.
bench-tracking: $(READY)
	$(BIN)/python tests/benchmarks/tracking.py rate
	$(BIN)/python tests/benchmarks/tracking.py scale
	$(BIN)/python tests/benchmarks/tracking_slowdown.py

# Every cell against torch's own kernels; writes bench-cells.json.
bench-cells: $(READY)
	$(BIN)/python tests/benchmarks/cells.py

# Replicates of one shape trained together against one after the other; writes bench-fused.json.
bench-fused: $(READY)
	$(BIN)/python tests/benchmarks/fused.py --rounds 7

# The quickstart with and without trials of its search trained together; writes bench-search-cohorts.json.
bench-search-cohorts: $(READY)
	$(BIN)/python tests/benchmarks/search_cohorts.py --rounds 3

# What a trial costs beside its training, and the reports a second that the driver takes.
bench-overhead: $(READY)
	$(BIN)/python tests/benchmarks/overhead.py
	$(BIN)/python tests/benchmarks/overhead.py --many 10000
	$(BIN)/python tests/benchmarks/report_rate.py

# The report of 10,000 trials: how long it takes to write, and to open in a browser (chromium).
bench-report: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/large_page.py

# The live page of 50,000 trials: how soon it opens in a browser (chromium), and what it is sent.
bench-live-page: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/large_live_page.py

# How soon ours, random search and a stock stack find what random search ends with; takes forty
# minutes and writes bench-time-to-best.json. Parts of it: SEEDS='--first-seed 10 --seeds 5'
bench-time-to-best: $(READY)
	$(BIN)/python tests/benchmarks/time_to_best.py $(SEEDS)

# How good each search is after few steps, on the tables of recorded curves in TABLES.
TABLES ?= ../shared/data/taskset
bench-search: $(READY)
	$(BIN)/python tests/benchmarks/search_replay.py --tables $(TABLES) --methods all \
		--steps 100,250,500,1000 --seeds 30 --json bench-search.json

# The same on curves of real trainings, which are recorded first: ten minutes.
bench-search-own: $(READY)
	$(BIN)/python tests/benchmarks/record_tables.py --out build/bench-search-own
	$(BIN)/python tests/benchmarks/search_replay.py --tables build/bench-search-own \
		--methods tpe-stopping-1-3,tpe-promotion-2-4,freeze-thaw,random-unpruned --steps 50,100,250,500 --seeds 10

# What the verdict's rules do where the truth is known, beside the bounds they must keep; minutes.
bench-verdict: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/verdict.py

# Test scores of four small jobs beside published ones; minutes.
bench-published: $(READY)
	$(BIN)/python tests/benchmarks/published.py

# Bits per character of LSTM and GRU on English prose, beside compressors and n-grams; minutes.
bench-text: $(READY)
	$(BIN)/python tests/benchmarks/text.py

# Cells that are told of missing values against mean fill, on JapaneseVowels with gaps; minutes.
bench-missing: $(READY)
	$(BIN)/python tests/benchmarks/missing_values.py

# What a gigabyte of own data costs a driver and a worker in memory, and how soon it trains.
bench-large-data: $(READY)
	$(BIN)/python tests/benchmarks/large_data.py

# Forecasts of four tasks beside neuralforecast's AutoLSTM and AutoGRU, at equal seconds (hours).
bench-forecast: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench-forecast]'
	$(BIN)/python tests/benchmarks/forecast.py

# How often an arm is called better than itself on real trainings, which take six minutes at first.
bench-verdict-bank: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/verdict_bank.py --bank build/bench-verdict-bank

# Whole jobs: shuffled labels, and the quickstart with four seeds of its search; a quarter of an hour.
bench-verdict-jobs: $(READY)
	$(BIN)/python tests/benchmarks/verdict_jobs.py --what shuffled
	$(BIN)/python tests/benchmarks/verdict_jobs.py --what seeds

# Every variant on this machine's card: right, fast alone, fast in cohorts; writes bench-gpu.json.
# It needs torch for CUDA, triton and pydantic alone: make bench-gpu BIN=/usr/bin READY=
bench-gpu: $(READY)
	PYTHONPATH=. $(BIN)/python tests/benchmarks/gpu.py

# Every kernel compiled for cards that need not be here; goes on where bench-gpu-compile.json ends.
bench-gpu-compile: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[gpu-test]'
	$(BIN)/python tests/benchmarks/gpu_compile.py --resume

clean:
	rm -rf .venv build ./*.egg-info .mypy_cache .ruff_cache .pytest_cache
