"""What is killed and when, as a configuration says it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Job:
    """A command that is killed, and then repeated.

    Args:
        name: Of it.
        command: What follows ``python -m``; ``{here}`` is the folder it works in,
            ``{input}`` an edge list, and the name of a job before it the folder in
            which that one was not disturbed.
    """

    name: str
    command: str

    def words(self, places: dict[str, Path]) -> list[str]:
        """The command, its places filled in."""
        return [word.format(**places) for word in self.command.split()]


@dataclass(frozen=True)
class Phase:
    """When a job is killed.

    Args:
        name: Of it.
        job: Name of the job.
        begin: The file whose appearance begins it. (default: it begins with the job)
        end: The file whose appearance ends it. (default: it ends with the job)
        writing: A pattern of the file that is being written when the job is killed.
            (default: it is killed at any moment)
    """

    name: str
    job: str
    begin: str = ""
    end: str = ""
    writing: str = ""


@dataclass(frozen=True)
class Setting:
    """A graph, what is done with it, and when that is stopped.

    Args:
        graph: Of :func:`kdgraph.data.sbm`.
        jobs: By name, each after those whose folders it names.
        phases: Kills go round them in turn.
    """

    graph: dict[str, Any]
    jobs: dict[str, Job]
    phases: tuple[Phase, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a configuration."""
        found = json.loads(path.read_text())
        jobs = [Job(**job) for job in found["jobs"]]
        phases = tuple(Phase(**phase) for phase in found["phases"])
        return cls(found["graph"], {job.name: job for job in jobs}, phases)
