#!/usr/bin/env bash
# Measures everything and writes tables and pictures.
#
#   run.sh OUT [PART...]
#
# OUT is a folder; PARTs, all in this order by default:
#   install     what is missing, from Debian (benchmark, oneDNN, PyTorch with OpenBLAS, matplotlib)
#   build       a Release build in OUT/build
#   models      ddpm32 and edge with random weights, the shipped model: one step each
#   reference   the outputs of PyTorch in fp64, once: minutes
#   ops         single shapes beside oneDNN
#   ddpm32 edge128 edge256 shipped512
#               each: PyTorch and Mote in turn
#   NAME.ncnn   of each of these: ncnn and Mote in turn, where ncnn is installed (CMake finds it; CMAKE_PREFIX_PATH
#               helps); ops.ncnn: the single shapes
#   NAME.passes of each of these: load, first and next image, a pass, memory
#   NAME.ops    of each of these: every distinct op, beside oneDNN
#   sustained   the shipped model's next images for $SUSTAIN seconds (60)
#   conversion  seconds and memory of a conversion
#   report      results.md, results.json, index.html and its pictures
# Nothing else should run on the machine meanwhile. $DEVICE: a part of the Vulkan device's name.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 2; }
bench=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(install build models reference ops ops.ncnn
                                 {ddpm32,edge128,edge256,shipped512}{,.ncnn,.passes,.ops} sustained conversion report)
python=/usr/bin/python3 # Debian's, which has Debian's PyTorch
export OMP_NUM_THREADS=2 PYTHONDONTWRITEBYTECODE=1
device=(${DEVICE:+--device "$DEVICE"})

# name: file, size, seconds of alternation, repetitions
declare -A file=([ddpm32]=ddpm32 [edge128]=edge [edge256]=edge [shipped512]=denoise-edge)
declare -A size=([ddpm32]=32x32 [edge128]=128x128 [edge256]=256x256 [shipped512]=512x512)
declare -A seconds=([ddpm32]=10 [edge128]=10 [edge256]=15 [shipped512]=20)
declare -A repetitions=([ddpm32]=5 [edge128]=5 [edge256]=3 [shipped512]=2)

# Repetitions of different benchmarks take turns, so that what disturbs one disturbs its neighbours.
mote_bench() { # FILE REPETITIONS ARGUMENTS...
    "$out/build/bin/mote-bench" "${device[@]}" --benchmark_out="$out/$1" --benchmark_out_format=json \
        --benchmark_repetitions="$2" --benchmark_min_time=0.01 --benchmark_enable_random_interleaving=true \
        "${@:3}" >"$out/$1.log" 2>&1
}

peers() { # WHAT ARGUMENTS...
    "$python" "$bench/peers.py" "$1" "$out" "$out/models" "${@:2}" --library "$out/build/runtime/libmote.so" \
        "${device[@]}"
}

of_model() { # WHAT NAME FILTER
    mote_bench "$1.$2.json" "${repetitions[$2]}" "$out/models/${file[$2]}.mote@${size[$2]}" --benchmark_filter="$3"
}

for part in "${parts[@]}"; do
    echo "== $part"
    case $part in
        install) "$bench/../platforms/linux/install-dependencies.sh" bench ;;
        build)
            cmake -G Ninja -S "$bench/.." -B "$out/build" -DCMAKE_BUILD_TYPE=Release -DMOTE_BUILD_BENCH=ON \
                -DMOTE_BUILD_TESTS=OFF >"$out/build.log"
            cmake --build "$out/build" --target mote mote_command mote_bench mote-convert mote_models \
                $(grep -q '^ncnn_DIR:PATH=/' "$out/build/CMakeCache.txt" && echo ncnn_peer) >>"$out/build.log"
            ;;
        models)
            mkdir -p "$out/models"
            for name in ddpm32 edge; do
                "$out/build/bin/mote-convert" "$bench/models/$name" --random-weights 1 --timesteps 500 \
                    -o "$out/models/$name.mote" >>"$out/models.log"
            done
            "$out/build/bin/mote-convert" "$bench/../converter/models/denoise-edge" --timesteps 500 \
                --task denoise -o "$out/models/denoise-edge.mote" >>"$out/models.log"
            ;;
        reference) "$python" "$bench/peers.py" reference "$out" "$out/models" ;;
        ops) mote_bench ops.json 9 ;;
        *.ncnn)
            [ -x "$out/build/bin/ncnn-peer" ] || { echo "no ncnn" && continue; }
            if [ "$part" = ops.ncnn ]; then
                peers singles --ncnn "$out/build/bin/ncnn-peer"
            else
                peers time "${part%.ncnn}" --seconds 5 --ncnn "$out/build/bin/ncnn-peer"
            fi
            ;;
        *.passes)
            name=${part%.passes}
            "$out/build/bin/mote" bench "$out/models/${file[$name]}.mote" --size "${size[$name]}" --runs 2 --json \
                "${device[@]}" >"$out/bench.$name.json" 2>"$out/bench.$name.log"
            of_model model "$name" '^(load|first image|next image|pass)/'
            ;;
        *.ops) of_model ops "${part%.ops}" '^op/' ;;
        ddpm32 | edge128 | edge256 | shipped512)
            peers time "$part" --seconds "${seconds[$part]}"
            ;;
        sustained)
            mote_bench model.sustained.json 1 --sustain "${SUSTAIN:-60}" --benchmark_filter='^(sustained|pass)/' \
                "$out/models/denoise-edge.mote@512x512"
            ;;
        conversion) "$python" "$bench/conversion.py" "$out/build/bin/mote-convert" "$out" ;;
        report) "$python" "$bench/report.py" "$out" ;;
        *)
            echo "$0: found part '$part'; run it without arguments for the parts" >&2
            exit 2
            ;;
    esac
done
