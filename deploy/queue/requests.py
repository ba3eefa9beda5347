"""What a person asks of the queue, checked and carried out.

Who may do what: everybody sees the queue and reads logs and results. Jobs are changed, stopped and
resumed by whoever submitted them, or by an admin; users are made and ended by an admin.
"""

import re
from dataclasses import replace
from typing import Any

from deploy.client import submission_ids
from deploy.client.archive import FETCH_PREFIX
from deploy.client.cluster_job import ClusterJob
from deploy.client.commands import shell_root
from deploy.errors import ClusterError
from deploy.queue.dispatch import Dispatcher, end_entry
from deploy.queue.entry import PRIORITIES, Entry
from deploy.queue.fair import in_own_order
from deploy.queue.metrics import exposition
from deploy.queue.notify import check_url
from deploy.queue.packages import Packages
from deploy.queue.store import Store, User, as_waiting, milliseconds
from deploy.queue.users import Signer, check_name

MAX_WAITING = 10_000
WEIGHTS = range(1, 101)
_FIELDS = {"name", "root", "job_path", "digest", "package", "again", "priority", "notify"}


class Requests:
    """The queue's answers to its users."""

    def __init__(
        self,
        store: Store,
        packages: Packages,
        signer: Signer,
        dispatcher: Dispatcher,
        root: str | None,
    ) -> None:
        """root: folder of the jobs' folders where a job names none; None is the cluster's own."""
        self._store, self._packages, self._signer = store, packages, signer
        self._dispatcher, self._root = dispatcher, root

    # Jobs

    def submit(self, user: User, told: dict[str, Any]) -> dict[str, Any]:
        """Queue a job unless it was queued before; see Client.submit."""
        told = _checked(told)
        root = self._root if told["root"] is None else told["root"]
        shell_root(root)
        if not self._packages.has(told["package"]):
            rule = "the job's package must be sent before the job"
            raise ClusterError.refused(told["name"], rule, "submit the job again")
        digest = submission_ids.digest_of(told["digest"], root)
        first = submission_ids.first_id(told["name"], digest)
        # Of the same job where it was sent to the cluster itself, which has the same root.
        plain = submission_ids.digest_of(told["digest"], None) if root == self._root else digest
        with self._store.alone():
            jobs = [
                replace(job, digest=digest) if job.digest == plain else job for job in self._known()
            ]
            submission_ids.refuse_name_in_use(told["name"], root, digest, jobs)
            numbered = submission_ids.latest(first, jobs)
            same = [job for job in jobs if (job.root, job.digest) == (root, digest)]
            latest = max(
                same,
                key=lambda job: (not job.is_ended, job.submitted or 0, job is numbered),
                default=None,
            )
            if latest is not None and submission_ids.stands(latest, again=told["again"]):
                return _submission(latest.id, latest.state, started=False)
            new_id = submission_ids.next_id(first, numbered)
            entry = _new_entry(new_id, user.name, told, root, digest)
            self._add(entry)
        continues = None if latest is None else latest.id
        return _submission(entry.id, "queued", started=True, continues=continues)

    def resume(self, user: User, entry_id: str) -> dict[str, Any]:
        """Queue a job that has ended once more; it goes on in its folder."""
        with self._store.alone():
            entry = self._own(user, entry_id)
            first = submission_ids.first_id(entry.name, entry.digest)
            jobs = self._known()
            submission_ids.refuse_name_in_use(entry.name, entry.root, entry.digest, jobs)
            latest = submission_ids.latest(first, jobs)
            assert latest is not None
            if submission_ids.stands(latest):
                return _submission(latest.id, latest.state, started=False)
            if not self._packages.has(entry.package):
                rule = "the job's package must be kept to resume it"
                raise ClusterError.refused(entry.id, rule, "submit the job again")
            told = {name: getattr(entry, name) for name in _FIELDS - {"again"}}
            new_id = submission_ids.next_id(first, latest)
            new = _new_entry(new_id, entry.user, told, entry.root, entry.digest)
            self._add(new)
        return _submission(new.id, "queued", started=True, continues=latest.id)

    def _known(self) -> list[ClusterJob]:
        """Return the jobs that a new one must not double: the queue's, and those sent past it.

        A job that was sent to the cluster itself, and names no root, runs in the served one.
        """
        past = [replace(job, root=job.root or self._root) for job in self._past()]
        return [entry.as_cluster_job() for entry in self._store.entries()] + past

    def _past(self) -> list[ClusterJob]:
        """Return what was submitted past the queue, as the cluster has listed it last."""
        own = self._store.submissions()
        return [
            job
            for job in self._dispatcher.known.values()
            if job.id not in own and not job.id.startswith(FETCH_PREFIX)
        ]

    def _add(self, entry: Entry) -> None:
        if len(self._store.entries("queued")) >= MAX_WAITING:
            rule = f"a queue must have at most {MAX_WAITING} jobs that wait"
            raise ClusterError.refused(entry.name, rule, "submit it when some have ended")
        self._store.add(entry)
        self._dispatcher.wake()

    def stop(self, user: User, entry_id: str) -> None:
        """End a job in good order: at once where it waits, by the cluster where it runs."""
        with self._store.alone():
            entry = self._own(user, entry_id)
            if entry.state == "queued":
                end_entry(self._store, entry, "stopped", f"stopped by {user.name} while it waited")
            elif entry.active and not entry.stopping:
                self._store.ask_to_stop(entry)
        self._dispatcher.wake()

    def change(self, user: User, entry_id: str, changes: dict[str, Any]) -> None:
        """Give a job that waits another priority, and then another place among its user's."""
        unknown = set(changes) - {"priority", "move"}
        if unknown or not changes:
            rule = "a change must be of priority or move"
            raise ClusterError.refused(entry_id, rule, "give --priority or --move")
        with self._store.alone():
            entry = self._own(user, entry_id)
            if entry.state != "queued":
                rule = f"a job must wait to be moved; it is {entry.shown_state}"
                raise ClusterError.refused(entry.id, rule, "see `gatesearch queue`")
            if "priority" in changes:
                priority = _whole(changes["priority"], PRIORITIES, "--priority")
                self._store.arrange([(entry, priority, entry.position)])
            if "move" in changes:
                self._move(entry, changes["move"])
        self._dispatcher.wake()

    def _move(self, entry: Entry, place: object) -> None:
        """Make a job the one of that number, from 1, among those of its user that wait.

        It takes the priority that its new neighbours allow.
        """
        waiting = {
            each.id: each for each in self._store.entries("queued") if each.user == entry.user
        }
        ordered = [waiting[job.id] for job in in_own_order(map(as_waiting, waiting.values()))]
        to = _whole(place, range(1, len(ordered) + 1), "--move") - 1
        others = [each for each in ordered if each.id != entry.id]
        after = others[to].priority if to < len(others) else PRIORITIES[0]
        before = others[to - 1].priority if to else PRIORITIES[-1]
        priority = {entry.id: min(max(waiting[entry.id].priority, after), before)}
        others.insert(to, entry)
        positions = sorted(each.position for each in others)
        self._store.arrange(
            [
                (waiting[each.id], priority.get(each.id, each.priority), position)
                for each, position in zip(others, positions, strict=True)
            ]
        )

    def _own(self, user: User, entry_id: str) -> Entry:
        """Return a job that the user may change. Raises ClusterError."""
        entry = self._store.entry(entry_id)
        if entry is None:
            rule = "the job must be in the queue"
            raise ClusterError.refused(entry_id, rule, "`gatesearch jobs` lists them")
        if entry.user != user.name and not user.admin:
            rule = f"only {entry.user} or an admin may change this job, not {user.name}"
            raise ClusterError.refused(entry.id, rule, "ask one of them")
        return entry

    # What is shown

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs as Ray's Jobs API lists them, with what the queue adds.

        Those that were submitted past the queue are among them, as the cluster last listed them.
        """
        places = self._places()
        listed = [entry.as_details(places.get(entry.id)) for entry in self._store.entries()]
        return listed + [job.as_details() for job in self._past()]

    def job(self, id_or_name: str) -> dict[str, Any] | None:
        """Return one job of the queue likewise: of that id, or the newest of that name."""
        entry = self._store.entry(id_or_name)
        if entry is None:
            named = [each for each in self._store.entries() if each.name == id_or_name]
            entry = max(named, key=lambda each: each.submitted, default=None)
        if entry is None:
            return None
        waits = entry.state == "queued"  # only then is it worth to put the queue in order
        return entry.as_details(self._places().get(entry.id) if waits else None)

    def listing(self) -> dict[str, Any]:
        """Return the queue: jobs that hold a slot, those that wait, by place, and the users."""
        with self._store.alone():
            active, waiting = self._store.active(), self._store.waiting(self._dispatcher.limit)
            users = self._store.users()
        slots = [entry.user for entry in active]
        return {
            "limit": self._dispatcher.limit,
            "away": self._dispatcher.away,
            "jobs": [entry.as_details(None) for entry in active]
            + [entry.as_details(place) for place, entry in enumerate(waiting, 1)],
            "users": [
                {
                    "name": user.name,
                    "admin": user.admin,
                    "weight": user.weight,
                    "slots": slots.count(user.name),
                }
                for user in users.values()
                if not user.removed
            ],
        }

    def metrics(self) -> str:
        """Return the queue's figures for Prometheus; see metrics.py."""
        with self._store.alone():
            counts, users = self._store.counts(), self._store.users()
        here = [user.name for user in users.values() if not user.removed]
        away = self._dispatcher.away is not None
        limit = self._dispatcher.limit
        return exposition(here, counts, limit, away=away, now=milliseconds())

    def _places(self) -> dict[str, int]:
        waiting = self._store.waiting(self._dispatcher.limit)
        return {entry.id: place for place, entry in enumerate(waiting, 1)}

    # People

    def user_of(self, token: str) -> User | None:
        """Return whose token it is; None for one that is not good, or no more."""
        signed = self._signer.read(token)
        if signed is None:
            return None
        user = self._store.users().get(signed[0])
        good = user is not None and not user.removed and user.number == signed[1]
        return user if good else None

    def add_user(self, user: User, told: dict[str, Any]) -> str:
        """Return a new token for a user; the one before is good no more.

        Weight and rights that are not told stay as they are; of a new user, 1 and none.
        """
        _demand_admin(user)
        name = check_name(told.get("name"))
        found = self._store.users().get(name)
        weight, admin = 1, False
        if found is not None and not found.removed:
            weight, admin = found.weight, found.admin
        if told.get("weight") is not None:
            weight = _whole(told["weight"], WEIGHTS, "--weight")
        if told.get("admin") is not None:
            admin = told["admin"] is True
        made = self._store.put_user(name, admin=admin, weight=weight)
        return self._signer.sign(name, made.number)

    def remove_user(self, user: User, name: str) -> None:
        """End a user's token."""
        _demand_admin(user)
        found = self._store.users().get(name)
        if found is None or found.removed:
            raise ClusterError.refused(
                name, "must be a user of the queue", "see `gatesearch queue`"
            )
        if name == user.name:
            raise ClusterError.refused(name, "nobody may remove themselves", "ask another admin")
        self._store.put_user(name, admin=False, weight=found.weight, removed=True)


def _demand_admin(user: User) -> None:
    if not user.admin:
        rule = f"only an admin may add and remove users, not {user.name}"
        raise ClusterError.refused("gatesearch queue user", rule, "ask an admin of the queue")


def _checked(told: dict[str, Any]) -> dict[str, Any]:
    """Return a submission in the form that the queue keeps. Raises ClusterError."""
    if set(told) != _FIELDS:
        rule = f"a submission must have {', '.join(sorted(_FIELDS))}, not {', '.join(sorted(told))}"
        remedy = "install the gatesearch version of the queue here"
        raise ClusterError.refused("submit", rule[:300], remedy)
    patterns = {
        "name": r"[a-z0-9][a-z0-9-]{0,62}",
        "digest": r"[0-9a-f]{64}",
        "package": r"[0-9a-f]{64}",
        "job_path": r"job/[^\0\n]{1,1000}",
    }
    for field, pattern in patterns.items():
        if not isinstance(told[field], str) or not re.fullmatch(pattern, told[field]):
            rule = f"{field} must match {pattern}"
            raise ClusterError.refused("submit", rule, "submit with gatesearch")
    if told["root"] is not None and not isinstance(told["root"], str):
        raise ClusterError.refused("--cluster-root", "must be a folder", "submit with gatesearch")
    told = {**told, "priority": _whole(told["priority"], PRIORITIES, "--priority")}
    if told["notify"] is not None:
        told["notify"] = check_url(told["notify"])
    return told


def _whole(value: object, allowed: range, place: str) -> int:
    if type(value) is not int or value not in allowed:
        rule = f"must be a whole number from {allowed[0]} to {allowed[-1]}, not {value!r:.40}"
        raise ClusterError.refused(place, rule, "give another one")
    return value


def _new_entry(
    entry_id: str, user: str, told: dict[str, Any], root: str | None, digest: str
) -> Entry:
    return Entry(
        id=entry_id,
        name=told["name"],
        user=user,
        priority=told["priority"],
        position=0,
        state="queued",
        root=root,
        digest=digest,
        job_path=told["job_path"],
        package=told["package"],
        attempt=0,
        submission=None,
        stopping=False,
        failures=0,
        submitted=milliseconds(),
        started=None,
        resumed=None,
        ended=None,
        exit_code=None,
        message="",
        notify=told["notify"],
    )


def _submission(
    entry_id: str, state: str, *, started: bool, continues: str | None = None
) -> dict[str, Any]:
    return {"id": entry_id, "started": started, "state": state, "continues": continues}
