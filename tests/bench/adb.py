"""A stand-in for adb and the phones behind it; reads its state from the file $PHONES."""

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
    return {"install": install, "shell": shell, "pull": pull, "logcat": logcat}[command](
        rest, state
    )


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
    elif command == "am" and words[0] == "start":
        if not state["installed"]:
            print("Error type 3\nError: Activity class {.MainActivity} does not exist.")
            return 0
        state["extras"] = words[words.index("--ez") :]
        print("Status: ok")
    elif command == "pidof":
        crashed = state["outcome"] == "crash" and state["polls"] >= 1
        print("" if crashed else "4711")
        return int(crashed)
    elif command == "ls":
        state["polls"] += 1
        ending = {"report": "bench.json", "error": "bench.error.txt"}.get(state["outcome"])
        print(ending if ending and state["polls"] > 1 else "")
    elif command == "cat":
        print("the model model.onnx is missing")
    return 0


def pull(rest, state):
    assert rest[0] == f"{FOLDER}/bench.json"
    shutil.copy(state["report"], rest[1])
    return 0


def logcat(rest, state):
    print("E AndroidRuntime: FATAL EXCEPTION: main")
    print("E AndroidRuntime: java.lang.OutOfMemoryException: no room")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
