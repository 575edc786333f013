# Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
BIN := .venv/bin
.PHONY: quickstart test lint android wheel clean

quickstart: .venv/installed  ## the whole job on real data: out/quickstart/report.html
	$(BIN)/img2imu quickstart -o out/quickstart $(ARGS)

# Without ARGS a worker for each processor, and the Kotlin tests beside them.
test: .venv/installed  ## all tests; those of the Android demo where a JDK and Maven are
ifdef ARGS
	$(BIN)/pytest $(ARGS)
else
	@mkdir -p android_demo/build; log=android_demo/build/test.log; \
	$(BIN)/python android_demo/build_apk.py --test > $$log 2>&1 & demo=$$!; \
	trap "kill $$demo" INT TERM; \
	$(BIN)/pytest --numprocesses auto --dist worksteal; python=$$?; \
	wait $$demo; kotlin=$$?; cat $$log; \
	exit $$((python + kotlin))
endif

# mypy looks at the package as a user installs it: the folders are mapped to img2imu.*
lint: .venv/installed  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build
	$(BIN)/pip install --quiet --no-deps --target build/installed .
	MYPYPATH=build/installed $(BIN)/mypy -p img2imu

android: .venv/installed  ## signed APKs of the demo: android_demo/build/*.apk
	$(BIN)/python android_demo/build_apk.py

.PHONY: docs
docs: .venv/installed  ## README and docs: every command checked, the outputs shown made anew
	$(BIN)/python docs/build.py $(ARGS)

wheel: .venv/installed  ## dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[baselines,dev,studies,web]'
	touch $@

clean:
	rm -rf .venv build dist out
