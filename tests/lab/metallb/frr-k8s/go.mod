// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

module github.com/metallb/frr-k8s

go 1.26.0

require k8s.io/apimachinery v0.37.1
