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
#               each: PyTorch and Mote in turn; every distinct op beside oneDNN; load, first and next image, pass
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
[ ${#parts[@]} -gt 0 ] || parts=(install build models reference ops ddpm32 edge128 edge256 shipped512 sustained
                                 conversion report)
python=/usr/bin/python3 # Debian's, which has Debian's PyTorch
export OMP_NUM_THREADS=2 PYTHONDONTWRITEBYTECODE=1
device=(${DEVICE:+--device "$DEVICE"})

# Repetitions of different benchmarks take turns, so that what disturbs one disturbs its neighbours.
mote_bench() { # FILE REPETITIONS ARGUMENTS...
    "$out/build/bin/mote-bench" "${device[@]}" --benchmark_out="$out/$1" --benchmark_out_format=json \
        --benchmark_repetitions="$2" --benchmark_min_time=0.02 --benchmark_enable_random_interleaving=true \
        "${@:3}" >"$out/$1.log"
}

model() { # NAME FILE SIZE SECONDS REPETITIONS
    "$python" "$bench/peers.py" time "$out" "$out/models" "$1" --library "$out/build/runtime/libmote.so" \
        --seconds "$4" "${device[@]}"
    mote_bench "model.$1.json" "$5" "$out/models/$2.mote@$3"
}

for part in "${parts[@]}"; do
    echo "== $part"
    case $part in
        install) "$bench/../platforms/linux/install-dependencies.sh" bench ;;
        build)
            cmake -G Ninja -S "$bench/.." -B "$out/build" -DCMAKE_BUILD_TYPE=Release -DMOTE_BUILD_BENCH=ON \
                -DMOTE_BUILD_TESTS=OFF >"$out/build.log"
            cmake --build "$out/build" --target mote mote_bench mote-convert mote_models >>"$out/build.log"
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
        ddpm32) model ddpm32 ddpm32 32x32 10 5 ;;
        edge128) model edge128 edge 128x128 10 5 ;;
        edge256) model edge256 edge 256x256 15 3 ;;
        shipped512) model shipped512 denoise-edge 512x512 20 2 ;;
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
