#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
#
#   test.sh [LABEL] [ctest arguments...]
#
# LABEL is ci (the default: what every change must pass) or full (the slow rest). The build stays in build/,
# so that a second run only does what has changed. The time of each phase is printed at the end beside its
# budget, which is for two cores and a machine on which nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

label=ci
if [[ "${1:-}" == ci || "${1:-}" == full ]]; then
    label=$1
    shift
fi

phases=(install configure build test)
budgets=(300 60 540 600) # seconds; 25 minutes in all
times=(- - - -)
current=-1
started=0

finish_phase() {
    if [ "$current" -ge 0 ]; then
        times[current]=$((SECONDS - started))
    fi
}
begin_phase() {
    finish_phase
    current=$((current + 1))
    started=$SECONDS
    echo "== ${phases[current]}"
}
print_table() {
    local status=$? total=0 budget=0 i note
    finish_phase
    printf '\n%-10s %8s %8s\n' phase seconds budget
    for i in "${!phases[@]}"; do
        note=""
        if [ "${times[i]}" != - ]; then
            total=$((total + times[i]))
            if [ "$label" = ci ] && [ "${times[i]}" -gt "${budgets[i]}" ]; then
                note="  over budget"
            fi
        fi
        budget=$((budget + budgets[i]))
        printf '%-10s %8s %8s%s\n' "${phases[i]}" "${times[i]}" "${budgets[i]}" "$note"
    done
    printf '%-10s %8s %8s\n' total "$total" "$budget"
    if [ "$status" -ne 0 ]; then
        echo "FAILED in ${phases[current]}"
    elif [ "$label" = full ]; then
        echo "passed (the budget is that of ci; full takes longer)"
    else
        echo passed
    fi
}
trap print_table EXIT

jobs=$(nproc)
begin_phase
platforms/linux/install-dependencies.sh tests
drivers=(swiftshader mesa-backports) # what the label's tests run on besides the installed one
if [ "$label" = full ]; then
    drivers+=(mesa-testing)
fi
tests/drivers/fetch.sh build/drivers "${drivers[@]}"
begin_phase
cmake -G Ninja -S . -B build -DMOTE_BUILD_TESTS=ON -DMOTE_BUILD_BENCH=ON
begin_phase
cmake --build build --parallel "$jobs"
begin_phase
ctest --test-dir build --label-regex "^$label\$" --output-on-failure --no-tests=error --parallel "$jobs" "$@"
