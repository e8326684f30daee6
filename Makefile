# `make` alone lists the targets. System packages that a target needs are installed when they are
# missing (as root or through sudo); otherwise the line to run is printed.

CARGO ?= cargo
PYTHON ?= python3
# Always the whole workspace: a part of it would compile shared crates again with other features.
# Cargo.lock is kept as it is; `make CARGO_FLAGS=` after a change of dependencies.
CARGO_FLAGS ?= --locked
CARGO_TARGET_DIR ?= target
PARTITA := $(CARGO_TARGET_DIR)/release/partita

# A C compiler, cmake and make build libopus; microphones are reached through ALSA; the package
# index's client fetches weights.
BUILD_PACKAGES := cc=gcc make cmake pkg-config libasound2-dev
MODEL_PACKAGES := $(BUILD_PACKAGES) python3 pip3=python3-pip
# What tests take that hear a microphone and see a window, both in memory. Without them those tests
# are skipped, and say so.
TEST_PACKAGES := pulseaudio pactl=pulseaudio-utils Xvfb=xvfb xauth libgl1-mesa-dri libegl1 libgl1 \
  libxkbcommon-x11-0 libxcursor1 libxrandr2 libxi6 openbox picom xdotool wmctrl import=imagemagick \
  xprop=x11-utils xterm dbus-daemon=dbus sway grim wtype foot \
  libwayland-egl1
# MPI, and the library that its header is read with.
MPI_PACKAGES := $(BUILD_PACKAGES) mpicc=libopenmpi-dev mpirun=openmpi-bin libclang-dev
# What the programs use by default, and what else tests with real weights run on.
DEFAULT_MODELS := whisper-base silero-vad onnxruntime
MODELS := $(DEFAULT_MODELS) smollm2-135m-instruct

.DEFAULT_GOAL := help
.PHONY: help build demo models test test-mpi bench compare lint deb tarball

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the programs
	@scripts/install-packages.sh $(BUILD_PACKAGES)
	$(CARGO) build --release $(CARGO_FLAGS) --workspace

models: ## fetch models into the model store (PARTITA_HOME overrides where)
	@scripts/install-packages.sh $(MODEL_PACKAGES)
	$(CARGO) build --release $(CARGO_FLAGS) --workspace
	$(PARTITA) models pull $(MODELS)

demo: ## fetch the default models, transcribe and translate the sample clips
	@scripts/install-packages.sh $(MODEL_PACKAGES)
	$(CARGO) build --release $(CARGO_FLAGS) --workspace
	$(PARTITA) models pull $(DEFAULT_MODELS)
	$(PARTITA) transcribe assets/samples/*.flac --translate en

test: ## run all tests
	@scripts/install-packages.sh $(BUILD_PACKAGES)
	@scripts/install-packages.sh $(TEST_PACKAGES) || echo "tests of window and microphone are skipped"
	$(CARGO) build --release $(CARGO_FLAGS) --workspace
	$(CARGO) test --release $(CARGO_FLAGS) --workspace

test-mpi: ## run the tests of training by several processes under mpirun
	@scripts/install-packages.sh $(MPI_PACKAGES)
	$(CARGO) test --release $(CARGO_FLAGS) --workspace --features partita-train/mpi --test parallel

bench: models ## measure speed and memory on this machine (ARGS="FILE --json")
	$(PARTITA) bench $(ARGS)

compare: models ## error rates and speed beside faster-whisper (ARGS="--quick"; needs recordings)
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || scripts/install-packages.sh python3-venv
	$(PYTHON) scripts/compare.py $(ARGS)

lint: ## formatting, clippy, licences of the dependencies
	@scripts/install-packages.sh $(BUILD_PACKAGES)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check licenses bans sources; \
	else $(PYTHON) scripts/check-licences.py; fi

deb: ## a Debian package in target/debian
	@scripts/install-packages.sh $(BUILD_PACKAGES) dpkg-shlibdeps=dpkg-dev
	@$(CARGO) deb --version >/dev/null 2>&1 || $(CARGO) install cargo-deb --version 3.8.0 --locked
	$(CARGO) build --release $(CARGO_FLAGS) --workspace
	$(CARGO) deb --no-build -p partita --output $(CARGO_TARGET_DIR)/debian/

tarball: ## the program, its icons and an installer in one file
	@scripts/install-packages.sh $(BUILD_PACKAGES)
	$(CARGO) build --release $(CARGO_FLAGS) --workspace
	scripts/tarball.sh $(PARTITA) $(CARGO_TARGET_DIR)
