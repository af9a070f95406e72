"""Where the programs under test are."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def build_dir() -> str:
    """LIVY_HA_BUILD, relative to the project's root where it is no absolute path; build/release by default."""
    return os.path.join(ROOT, os.environ.get("LIVY_HA_BUILD") or os.path.join("build", "release"))


def program(name: str) -> str:
    path = os.path.join(build_dir(), name)
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"{path} is not there: build first (cmake -B build/release && cmake --build build/release), "
                           "or point LIVY_HA_BUILD at a build directory")
    return path


def standin() -> str:
    """The stand-in. LIVY_HA_STANDIN names one from another build: the sanitizers watch livy-ha, and a
    stand-in that starts slowly or that handles signals of its own would only blur the picture."""
    return os.environ.get("LIVY_HA_STANDIN") or program("standin")


def sanitizer_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items()
            if name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")}


def sanitizers() -> str:
    """What the build under test was made with: "address,undefined", "thread", "" for none. Their shadow memory and
    their checks are most of what such a process takes of memory and time, so that bounds on either are judged in
    the plain build alone; what is right or wrong is judged in all."""
    try:
        with open(os.path.join(build_dir(), "CMakeCache.txt"), encoding="utf-8") as file:
            lines = [line.rstrip("\n") for line in file if line.startswith("LIVY_HA_SANITIZE:")]
    except FileNotFoundError:  # installed programs
        return ""
    return lines[0].partition("=")[2] if lines else ""


SANITIZER_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:",
                   "FATAL: ThreadSanitizer")


def sanitizer_report(log: str) -> str:
    """The part of a log from the first sanitizer report on, "" where there is none."""
    starts = [log.find(mark) for mark in SANITIZER_MARKS if mark in log]
    return log[min(starts):][:6000] if starts else ""


def standby() -> str:
    """livy.standby in the matrix and in the nemesis; LIVY_HA_STANDBY=hot runs them with held Livys."""
    return os.environ.get("LIVY_HA_STANDBY") or "cold"
