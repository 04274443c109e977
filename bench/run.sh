#!/usr/bin/env bash
# Measures everything and writes tables and pictures.
#
#   run.sh [--quick] [--resume] OUT [PART...]
#
# OUT is a folder; PARTs, all in this order by default:
#   install     what is missing, from Debian (benchmark, oneDNN, PyTorch with OpenBLAS, matplotlib)
#   build       a Release build in OUT/build
#   models      ddpm32 and edge with random weights, the shipped model: one step each; edge with 2 and with 6 steps
#   reference   the outputs of PyTorch in fp64, where OUT has none yet
#   ops         single shapes beside oneDNN
#   ddpm32 edge128 edge256 shipped512
#               each: PyTorch, Mote and Mote with tuned kernels in turn
#   NAME.ncnn   of each of these: ncnn and Mote in turn, where ncnn is installed (CMake finds it; CMAKE_PREFIX_PATH
#               helps); ops.ncnn: the single shapes, likewise
#   NAME.passes of each of these: load, first and next image, a pass, memory; tuned, too
#   NAME.ops    of each of these: every distinct op, beside oneDNN
#   host        what a step costs the host
#   sustained   the shipped model's next images for $SUSTAIN seconds (60)
#   conversion  seconds and memory of a conversion
#   report      results.md, results.json, index.html and its pictures
# --quick: everything once, to see that it runs; the figures mean little. --resume: not what OUT has already. A part that
# fails is named at the end, when the others have run. Files appear whole or not at all.
# Nothing else should run on the machine meanwhile. $DEVICE: a part of the Vulkan device's name.
set -euo pipefail
usage() {
    sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2
    exit 2
}
quick='' resume=''
while [[ ${1:-} == --* ]]; do
    case $1 in
        --quick) quick=1 ;;
        --resume) resume=1 ;;
        *) usage ;;
    esac
    shift
done
[ $# -ge 1 ] || usage
bench=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/done"
out=$(cd "$1" && pwd)
shift
all=(install build models reference ops ops.ncnn {ddpm32,edge128,edge256,shipped512}{,.ncnn,.passes,.ops}
     host sustained conversion report)
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=("${all[@]}")
for part in "${parts[@]}"; do
    [[ " ${all[*]} " == *" $part "* ]] || { echo "$0: found part '$part'; run it without arguments for the parts" >&2 && exit 2; }
done
exec 9>"$out/lock"
flock --nonblock 9 || { echo "$0: another run writes to $out" >&2 && exit 1; }
python=/usr/bin/python3 # Debian's, which has Debian's PyTorch
# Compiled and tuned kernels are OUT's own: what an earlier day found does not count.
export OMP_NUM_THREADS=2 PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME="$out/cache"
device=(${DEVICE:+--device "$DEVICE"})

# name: file, size, seconds of alternation with PyTorch, repetitions
declare -A file=([ddpm32]=ddpm32 [edge128]=edge [edge256]=edge [shipped512]=restore)
declare -A size=([ddpm32]=32x32 [edge128]=128x128 [edge256]=256x256 [shipped512]=512x512)
declare -A seconds=([ddpm32]=15 [edge128]=15 [edge256]=20 [shipped512]=25)
declare -A repetitions=([ddpm32]=5 [edge128]=5 [edge256]=3 [shipped512]=2)

# Repetitions of different benchmarks take turns, so that what disturbs one disturbs its neighbours.
mote_bench() { # FILE REPETITIONS ARGUMENTS...
    "$out/build/bin/mote-bench" "${device[@]}" --benchmark_out="$out/$1.part" --benchmark_out_format=json \
        --benchmark_repetitions="${quick:-$2}" --benchmark_min_time=0.01 \
        --benchmark_enable_random_interleaving=true "${@:3}" >"$out/$1.log" 2>&1
    mv "$out/$1.part" "$out/$1"
}

peers() { # WHAT SECONDS ARGUMENTS...
    "$python" "$bench/peers.py" "$1" "$out" "$out/models" "${@:3}" --library "$out/build/runtime/libmote.so" \
        --seconds "${quick:-$2}" "${device[@]}"
}

of_model() { # WHAT NAME FILTER
    mote_bench "$1.$2.json" "${repetitions[$2]}" "$out/models/${file[$2]}.mote@${size[$2]}" \
        --benchmark_filter="^ceilings|$3"
}

convert() { # NAME ARGUMENTS...
    "$out/build/bin/mote-convert" "${@:2}" -o "$out/models/$1.mote" >>"$out/models.log"
}

run_part() {
    case $1 in
        install) "$bench/../platforms/linux/install-dependencies.sh" bench ;;
        build)
            cmake -G Ninja -S "$bench/.." -B "$out/build" -DCMAKE_BUILD_TYPE=Release -DMOTE_BUILD_BENCH=ON \
                -DMOTE_BUILD_TESTS=OFF >"$out/build.log"
            targets=(mote mote_command mote_bench mote-convert)
            if grep -q '^ncnn_DIR:PATH=/' "$out/build/CMakeCache.txt"; then targets+=(ncnn_peer); fi
            cmake --build "$out/build" --target "${targets[@]}" >>"$out/build.log"
            ;;
        models)
            mkdir -p "$out/models"
            : >"$out/models.log"
            for name in ddpm32 edge; do
                convert "$name" "$bench/models/$name" --random-weights 1 --timesteps 500
            done
            convert edge-steps "$bench/models/edge" --random-weights 1 --steps 2,6
            convert restore "$bench/../converter/models/restore" --timesteps 500 --task restore
            ;;
        reference) "$python" "$bench/peers.py" reference "$out" "$out/models" ;;
        ops) mote_bench ops.json 9 ;;
        *.ncnn)
            if [ ! -x "$out/build/bin/ncnn-peer" ]; then
                echo "no ncnn"
            elif [ "$1" = ops.ncnn ]; then
                peers singles 10 --ncnn "$out/build/bin/ncnn-peer" --mote-bench "$out/build/bin/mote-bench"
            else
                peers time 10 "${1%.ncnn}" --ncnn "$out/build/bin/ncnn-peer"
            fi
            ;;
        *.passes)
            name=${1%.passes}
            "$out/build/bin/mote" bench "$out/models/${file[$name]}.mote" --size "${size[$name]}" --runs "${quick:-3}" \
                --tune --json "${device[@]}" >"$out/bench.$name.json.part" 2>"$out/bench.$name.log"
            mv "$out/bench.$name.json.part" "$out/bench.$name.json"
            of_model model "$name" '^(load|first image|next image|pass)/'
            ;;
        *.ops) of_model ops "${1%.ops}" '^op/' ;;
        ddpm32 | edge128 | edge256 | shipped512) peers time "${seconds[$1]}" "$1" ;;
        host) mote_bench model.host.json 2 "$out/models/edge-steps.mote@128x128" --benchmark_filter='^host/' ;;
        sustained)
            mote_bench model.sustained.json 1 --sustain "${quick:-${SUSTAIN:-60}}" --benchmark_filter='^sustained/' \
                "$out/models/restore.mote@512x512"
            ;;
        conversion) "$python" "$bench/conversion.py" "$out/build/bin/mote-convert" "$out" --runs "${quick:-3}" ;;
        report) "$python" "$bench/report.py" "$out" ;;
    esac
}

failed=()
for part in "${parts[@]}"; do
    mark="$out/done/$part"
    if [ -n "$resume" ] && [ -e "$mark" ] && [ "$part" != report ]; then
        echo "== $part: done before"
        continue
    fi
    echo "== $part"
    rm -f "$mark"
    started=$SECONDS
    set +e
    (
        set -e
        run_part "$part"
    )
    status=$?
    set -e
    if [ $status -gt 128 ]; then # interrupted
        exit $status
    elif [ $status -ne 0 ]; then
        failed+=("$part")
        echo "== $part failed with $status"
    else
        echo "$((SECONDS - started)) s" | tee "$mark"
    fi
done
echo "== $SECONDS s in all"
if [ ${#failed[@]} -gt 0 ]; then
    echo "$0: failed: ${failed[*]}; what they said is in $out/*.log" >&2
    exit 1
fi
