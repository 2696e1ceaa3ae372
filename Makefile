# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The state of the demo's lab, where the lab keeps it.
STATE := $(or $(LAB_STATE_HOME),$(or $(XDG_STATE_HOME),$(HOME)/.local/state)/homecloud-lab)/demo

.PHONY: help setup demo demo-down lint test soak bench bench-lan bench-services bench-rules truth

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install what is missing, make .venv and link the clone as an installed collection
	@tests/setup.sh

demo: setup ## build a home network in containers and bring a page to it
	tests/lab/lab.py up --name demo
	.venv/bin/ansible-playbook site.yml --inventory=$(STATE)/inventory --extra-vars=verify_report_path=$(STATE)/report.json
	@echo "The report as JSON: $(STATE)/report.json"

demo-down: ## remove the demo's home network
	tests/lab/lab.py down --name demo

lint: setup ## check the sources, without ansible-test and the lab
	.venv/bin/nox -s lint ansible-lint docs-check license-check extra-checks changelog

test: setup ## run all checks, and the whole way from bare nodes to a page
	@tests/test.sh

soak: setup ## for hours: kill runs and servers at random, destroy all nodes; OPTIONS="--seed=1 --rounds=10"
	@tests/soak.sh $(OPTIONS)

bench: setup ## measure how long site.yml takes, and where the time goes
	.venv/bin/python tests/bench/bench.py

bench-lan: setup ## measure how soon a page is there, and is back when its node fails
	PYTHONPATH=tests/lab:molecule/shared/tests .venv/bin/python tests/bench/lan.py

bench-services: setup ## measure how long a task of kube_service takes, beside those of k8s_service
	PYTHONPATH=tests/lab:molecule/shared/tests .venv/bin/python tests/bench/services.py

bench-rules: setup ## measure, as root, how long kube_path_info takes on many rules, beside plain iptables-save and nft
	PYTHONPATH=.collections .venv/bin/python tests/bench/rules.py

truth: setup ## capture anew, as root, the rules that the real kube-proxy writes: the data of the unit tests
	.venv/bin/python tests/truth/capture.py
