"""A stand-in for adb and the phones behind it; reads its state from the file $PHONES.

The app's folder is a real one, and what is pushed, moved and listed there are real files.
"""

import json
import os
import shutil
import sys
from pathlib import Path

FOLDER = "/sdcard/Android/data/org.img2imu.demo/files"


def main(arguments):
    path = Path(os.environ["PHONES"])
    state = json.loads(path.read_text())
    state["calls"].append(arguments)
    try:
        return answer(arguments, state)
    finally:
        path.write_text(json.dumps(state))


def answer(arguments, state):
    if arguments == ["devices"]:
        print("List of devices attached")
        for serial, condition in state["devices"].items():
            print(f"{serial}\t{condition}")
        return 0
    assert arguments[0] == "-s" and state["devices"][arguments[1]] == "device"
    command, *rest = arguments[2:]
    commands = {"install": install, "shell": shell, "push": push, "pull": pull, "logcat": logcat}
    return commands[command](rest, state)


def local(path, state):
    assert path.startswith(FOLDER)
    return Path(state["storage"]) / path[len(FOLDER) :].lstrip("/")


def install(rest, state):
    assert rest[0] == "-r"
    if state["install"] != "Success":
        print(f"adb: failed to install {rest[1]}: Failure [{state['install']}]", file=sys.stderr)
        return 1
    state["installed"] = True
    print("Success")
    return 0


def shell(rest, state):
    command, *words = rest
    if command == "pm":
        print("package:org.img2imu.demo" if state["installed"] else "")
    elif command == "rm":
        state["polls"] = 0
        for path in words[1:]:
            local(path, state).unlink(missing_ok=True)
    elif command == "mv":
        local(words[0], state).rename(local(words[1], state))
    elif command == "am" and words[0] == "start":
        return start(words, state)
    elif command == "pidof":
        crashed = state["outcome"] == "crash" and state["polls"] >= 1
        print("" if crashed else "4711")
        return int(crashed)
    elif command == "ls":
        state["polls"] += 1
        if state["polls"] > 1:
            print("\n".join(path.name for path in local(words[0], state).iterdir()))
    elif command == "cat":
        print(local(words[0], state).read_text())
    return 0


def start(words, state):
    """The app: makes its folder, and measures if it is asked to."""
    if not state["installed"]:
        print("Error type 3\nError: Activity class {.MainActivity} does not exist.")
        return 0
    print("Status: ok")
    models = local(f"{FOLDER}/models", state)
    models.mkdir(parents=True, exist_ok=True)
    if "--ez" not in words:
        return 0
    state["extras"] = words[words.index("--ez") :]
    if state["outcome"] == "error":
        local(f"{FOLDER}/bench.error.txt", state).write_text("the model model.onnx is missing\n")
    if state["outcome"] != "report":
        return 0
    text = Path(state["report"]).read_text()
    if "model" in words:
        name = words[words.index("model") + 1]
        report = json.loads(text)
        report["settings"]["file"] = name
        report["memory"]["model_file"] = (models / name).stat().st_size
        text = json.dumps(report)
    local(f"{FOLDER}/bench.json", state).write_text(text)
    return 0


def push(rest, state):
    if state["full"]:
        print("adb: error: failed to copy: remote No space left on device", file=sys.stderr)
        return 1
    shutil.copy(rest[0], local(rest[1], state))
    return 0


def pull(rest, state):
    shutil.copy(local(rest[0], state), rest[1])
    return 0


def logcat(rest, state):
    print("E AndroidRuntime: FATAL EXCEPTION: main")
    print("E AndroidRuntime: java.lang.OutOfMemoryException: no room")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
