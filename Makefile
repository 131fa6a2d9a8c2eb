# recoverd: `make run` shows it at work, `make test` proves the basics.
# Everything that is built or downloaded by these targets stays in bin/ and .cache/.

GO       ?= go
BIN      := bin/recoverd
LINT     := .cache/bin/golangci-lint
LINT_VER := v2.15.0
NFPM     ?= $(CURDIR)/.cache/bin/nfpm
NFPM_VER := v2.45.2
VGW      := .cache/bin/versitygw
VGW_VER  := v1.8.0
FUZZTIME ?= 20s
CHECKS   ?= 20000
RACE     ?= ./...
KILLS    ?= 500
FAULTS   ?= full
CUTS     ?= 20
CORRUPTIONS ?= 3000
ROTTEN   ?= 1000
MINUTES  ?= 1
SEEDS    ?= 20000
SEED     ?= 1
WITHOUT  ?=
TRACE    ?=
BLOBS    ?= 50000
LARGE    ?= 200
ROUNDS   ?= 5
PEERS    ?= $(CURDIR)/cmd/recoverd/bench/PEERS.md
export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help run build test check race servers sim crash-states planted crash faults corruption power model security evidence properties fuzz bench bench-peers dist deploy-check reproducible clean

help: ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## the demo: a fleet on loopback, a SIGKILL, a resume, every byte verified
	$(BIN) demo

build: ## build bin/recoverd
	$(GO) build -trimpath -o $(BIN) ./cmd/recoverd

test: ## the hermetic tests: no servers, no root, under 3 minutes
	$(GO) test ./...

check: $(LINT) ## formatting, vet, lint, import rules, tidy and verified modules
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(LINT) run ./...
	$(GO) mod tidy -diff
	$(GO) mod verify

$(LINT):
	GOBIN=$(CURDIR)/$(dir $@) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VER)

race: ## the tests of packages (RACE) under the race detector (needs a C compiler)
	$(GO) test ./recovery/sim/evidence -run '^TestRace$$' -count=1 -v -timeout 30m -race-in '$(RACE)'

servers: ## tests against real servers (nginx, S3, registry, Postgres, Chromium, promtool); skipped with the reason where one is absent
	@$(MAKE) -s $(VGW) || echo "versitygw cannot be built, so there is no S3 server for the tests"
	$(GO) test ./cmd/recoverd ./cmd/recoverd/bench ./recovery/statusapi/... ./recovery/catalog/... ./syncer/peer/... -run 'TestServers' -count=1 -v

$(VGW): # the S3 server of the tests
	GOBIN=$(CURDIR)/$(dir $@) $(GO) install github.com/versity/versitygw/cmd/versitygw@$(VGW_VER)

crash: ## SIGKILLs over one recovery after the other (KILLS), and full disks
	$(GO) test ./cmd/recoverd -run 'TestCrashKill|TestCrashFull' -count=1 -v -timeout 15m -parallel 4 -kills=$(KILLS)

faults: ## the real program under failing system calls, kills at named places, stops, full disks and limits (FAULTS=short in CI)
	$(GO) test ./cmd/recoverd -run 'TestFaults' -count=1 -v -timeout 15m -parallel 4 -faults=$(FAULTS)

corruption: ## flipped bits of all formats; saved progress (CORRUPTIONS) and stored files (ROTTEN) of the real program, spoilt at random
	RECOVERD_TEST_EVIDENCE= $(GO) test ./checkpoint ./recovery/boltfile ./recovery/catalog/snapshot/... ./syncer/erasure -count=1 \
		-run 'Flipped|BitFlip|Truncation|Damage|Slot|LoseNoWrite|TestScan|TestGolden|TestWalk'
	$(GO) test ./cmd/recoverd -run 'TestCorruption' -count=1 -v -timeout 15m -corruptions=$(CORRUPTIONS) -rotten=$(ROTTEN)

power: ## as root, power cuts of ext4 and xfs under load (CUTS of each), which must find bbolt without fsync
	$(GO) test ./cmd/recoverd -run 'TestCrashPowerCut' -count=1 -v -timeout 15m -cuts=$(CUTS)
	$(GO) test ./recovery/sim/planted -run 'TestPlanted' -count=1 -v -timeout 15m -planted -only ^power

crash-states: ## every state that a power cut may leave of checkpoint, store and snapshots (needs strace)
	$(GO) test ./checkpoint -run 'TestMirrorCrashStates' -count=1 -v
	$(GO) test ./recovery/sim/crashstate -count=1 -v -timeout 15m -crash-few=false
	$(GO) test ./cmd/recoverd -run 'TestCrashStates' -count=1 -v -timeout 15m -crash-states=16 -crash-runs=20

planted: ## build each fault that lost data into the program and have it caught
	$(GO) test ./recovery/sim/planted -run 'TestPlanted' -count=1 -v -timeout 20m -planted

model: ## search the Promela model of cursor, list, crashes and fence (spin and gcc; MINUTES for its largest form)
	$(GO) test ./recovery/sim/model -count=1 -v -timeout 20m -model -model-minutes=$(MINUTES)

sim: ## SEEDS simulated histories from SEED on (WITHOUT=kind,kind leaves some out, TRACE=1 prints every step)
	@mkdir -p .cache && $(GO) test -c -o .cache/sim.test ./recovery/sim
	@cd recovery/sim && $(CURDIR)/.cache/sim.test -test.run '^TestSimulation$$' -test.v -seeds=$(SEEDS) -seed=$(SEED) -without=$(WITHOUT) $(if $(TRACE),-steps)

security: $(LINT) ## hostile requests, stores, ids and files; staticcheck, gosec, go mod verify, licences; device files and owners as root
	$(GO) test ./cmd/recoverd -run 'TestSecurity' -count=1 -v -timeout 5m -security
	$(GO) test ./cmd/recoverd/deploy ./recovery ./recovery/regular ./recovery/statusapi ./recovery/catalog/snapshot/archive ./shards/provider ./syncer/store/fs \
		-run 'TestSecurity|TestIntruder|TestForbidden' -count=1 -v -timeout 5m
	$(LINT) run --enable-only staticcheck,gosec ./...
	$(GO) mod verify

evidence: ## all proofs in their quick form, onto recovery/sim/RELIABILITY.md; under 30 minutes, as root for power and full disks
	$(GO) test ./recovery/sim/evidence -run 'TestCollect' -count=1 -v -timeout 60m -collect recovery/sim/RELIABILITY.md

bench: build ## the measurements that the README quotes, as ratios within one run
	$(GO) test ./recovery -run xxx -bench . -benchtime 5000000x
	$(GO) test ./cmd/recoverd -run 'TestMeasure' -count=1 -v -timeout 60m -measure -measure-out $(CURDIR)/.cache/measured.md
	$(BIN) snapshot bench --blobs 10000000 --dir .cache
	$(GO) test ./recovery/catalog/boltdb ./recovery/catalog/postgres -run 'TestMeasure' -count=1 -v -timeout 60m -measure
	$(GO) test ./syncer/erasure -run 'TestMeasure' -count=1 -v -measure
	$(GO) test ./recovery/catalog/eventlog -run xxx -bench . -benchtime 3x -timeout 60m

bench-peers: build ## recoverd beside rclone, aria2c, curl and plain Go (BLOBS, LARGE, ROUNDS, PEERS); as root, each run on an ext4 of its own
	$(GO) test ./cmd/recoverd/bench -run 'TestMeasurePeers' -count=1 -v -timeout 180m -measure \
		-recoverd $(CURDIR)/$(BIN) -blobs=$(BLOBS) -large=$(LARGE) -rounds=$(ROUNDS) -out $(PEERS)

properties: ## CHECKS of every property that the tests draw values for, or as many as 4 s allow
	$(GO) test ./recovery/sim/evidence -run '^TestProperties$$' -count=1 -v -timeout 15m -checks=$(CHECKS)

fuzz: ## fuzz every decoder and parser for FUZZTIME each
	$(GO) test ./recovery/sim/evidence -run '^TestFuzzing$$' -count=1 -v -timeout 120m -fuzz-time=$(FUZZTIME)

dist: $(NFPM) ## a release of the checked-out commit in dist/: archives, Debian packages, SHA256SUMS
	OUT=dist NFPM=$(NFPM) cmd/recoverd/deploy/package/dist.sh

$(NFPM):
	GOBIN=$(dir $@) $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VER)

deploy-check: dist ## alerts, dashboard, unit, sidecar and packages, held against promtool, systemd-analyze and dpkg-deb
	RECOVERD_TEST_DIST=$(CURDIR)/dist $(GO) test ./cmd/recoverd/deploy -count=1 -v

reproducible: $(NFPM) ## two releases, built in two directories with nothing in common, are the same bytes
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && for d in a much/longer/b; do \
		git clone -q . "$$tmp/$$d" && GOCACHE="$$tmp/cache-$${d##*/}" $(MAKE) -s -C "$$tmp/$$d" dist NFPM=$(NFPM) || exit 1; done && \
		diff -r "$$tmp/a/dist" "$$tmp/much/longer/b/dist" && cat "$$tmp/a/dist/SHA256SUMS"

clean: ## remove what was built
	rm -rf bin .cache dist
