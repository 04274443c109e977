#include "model/hostile_cases.h"

namespace mote::test {

std::vector<Hostile> hostileLayouts() {
    return {
        // Header
        {"a format version from the future", "header.format_version: found 2, expected 1",
         [](RawFile &r) { r.formatVersion = 2; }, StatusCode::Unsupported},
        {"a runtime from the future", "header.minimum_runtime: found 1.0.0",
         [](RawFile &r) { r.minimumRuntime = 1u << 22; }, StatusCode::Unsupported},
        {"a root that is not aligned", "header.root_offset", [](RawFile &r) { r.gap = 8; }},
        {"a root over the header", "header.root_offset: found 0", [](RawFile &r) { r.rootOffset = 0; }},
        {"a root of nothing", "header.root_bytes: found 0", [](RawFile &r) { r.rootBytes = 0; }},
        {"a root beyond the file", "header.root_offset", [](RawFile &r) { r.rootOffset = 1u << 30; }},
        {"a root that wraps around", "header.root_offset", [](RawFile &r) { r.rootOffset = ~uint64_t{63}; }},
        {"a root of 17 MB", "header.root_bytes: found 17825792", [](RawFile &r) { r.rootBytes = 17u << 20; }},
        {"a root of all bytes there are", "header.root_bytes",
         [](RawFile &r) { r.rootBytes = ~uint64_t{0}; }},
        {"a file that says it is longer", "header.file_bytes", [](RawFile &r) { r.fileBytes = 1u << 20; }},
        {"reserved bytes in use", "header.reserved: found 9, expected 0", [](RawFile &r) { r.reserved = 9; }},
        {"bytes behind the root", "root.offset", [](RawFile &r) { r.behind = {0}; }},
        {"a gap of a whole alignment", "a gap of less than 64", [](RawFile &r) { r.gap = 64; }},
        {"padding that holds something", "padding: found byte 1", [](RawFile &r) { r.padding = 1; }},
        // Features and segments
        {"a feature that is not known", "required_features: found 'guidance'",
         [](RawFile &r) { r.features = {"guidance"}; }, StatusCode::Unsupported},
        {"a required segment that is not known", "segments[1] 'codebook': found required kind 77",
         [](RawFile &r) {
             r.model.segments.push_back({});
             r.model.segments[1].offset = alignedEnd(r);
             r.model.segments[1].bytes = 64;
             r.labels.push_back({"codebook", 77, true});
         },
         StatusCode::Unsupported},
        {"a segment over the header", "segments[0].offset",
         [](RawFile &r) { r.model.segments[0].offset = 0; }},
        {"a segment that is not aligned", "segments[0].offset: found 65",
         [](RawFile &r) { r.model.segments[0].offset = 65; }},
        {"a segment beyond the file", "segments[0].bytes",
         [](RawFile &r) { r.model.segments[0].offset = uint64_t{1} << 40; }},
        {"a segment that wraps around", "segments[0].bytes",
         [](RawFile &r) { r.model.segments[0].offset = ~uint64_t{63}; }},
        {"an empty segment", "segments[0].bytes: found 0", [](RawFile &r) { r.model.segments[0].bytes = 0; }},
        {"a segment over the root", "segments[1].offset: found root until byte",
         [](RawFile &r) {
             r.model.segments.push_back({});
             r.model.segments[1].offset = alignedEnd(r) + 64;
             r.model.segments[1].bytes = 64;
             r.model.segments[1].checksums = {0};
             r.labels.push_back({"over the root", 0, true});
             r.segmentsWritten = 1;
         }},
        {"two segments over each other", "segments[1].offset: found segments[0] until byte",
         [](RawFile &r) {
             r.model.segments.push_back(r.model.segments[0]);
             r.labels.push_back({"again", 0, true});
         }},
        {"a checksum too few", "segments[0].checksums: found 0", [](RawFile &r) { r.keepChecksums = true; }},
        {"a checksum too many", "segments[0].checksums: found 2",
         [](RawFile &r) {
             r.keepChecksums = true;
             r.model.segments[0].checksums = {1, 2};
         }},
        {"a thousand segments", "segments: found 1000 entries",
         [](RawFile &r) {
             r.model.segments.assign(1000, {});
             r.labels.assign(1000, {"s", 0, true});
         }},
        // Weights
        {"a weight beyond its segment", "weights[0] 'conv_in.weight'.offset",
         [](RawFile &r) { weight(r, 0).offset = 1u << 30; }},
        {"a weight that wraps around", "weights[0] 'conv_in.weight'.offset",
         [](RawFile &r) { weight(r, 0).offset = ~uint64_t{63}; }},
        {"a weight that is not aligned", "weights[0] 'conv_in.weight'.offset: found 32",
         [](RawFile &r) { weight(r, 0).offset = 32; }},
        {"two weights over each other", "offset: found 0, inside 'conv_in.weight'",
         [](RawFile &r) { weight(r, 1).offset = 0; }},
        {"a weight in no segment", "segment: found 3, expected less than 1",
         [](RawFile &r) { weight(r, 0).segment = 3; }},
        {"a weight of another type", "weights[0] 'conv_in.weight'.type: found 2",
         [](RawFile &r) { weight(r, 0).type = static_cast<DataType>(2); }},
        {"a weight with fewer bytes than its shape", "weights[0] 'conv_in.weight'.bytes",
         [](RawFile &r) { weight(r, 0).bytes -= 2; }},
        {"a weight whose shape overflows", "weights[0] 'conv_in.weight'.bytes",
         [](RawFile &r) {
             weight(r, 0).shape = {1u << 31, 1u << 31, 1u << 31, 8};
         }},
        {"a weight whose shape overflows to its bytes", "weights[0] 'conv_in.weight'.bytes",
         [](RawFile &r) {
             weight(r, 0).shape = {1u << 31, 1u << 31, 2, 8}; // 2^68 bytes, 0 in 64 bits
             weight(r, 0).bytes = 0;
         }},
        {"a weight with a dimension of zero", "weights[0] 'conv_in.weight'.bytes",
         [](RawFile &r) {
             weight(r, 0).shape[1] = 0;
             weight(r, 0).bytes = 0;
         }},
        {"a weight without a shape", "weights[0] 'conv_in.weight'.shape: found 0 dimensions",
         [](RawFile &r) { weight(r, 0).shape.clear(); }},
        {"a weight of five dimensions", "weights.shape: found 5",
         [](RawFile &r) {
             weight(r, 0).shape = {1, 1, 1, 1, 1};
         }},
        {"a weight without a name", "weights[0].name: found 0 bytes",
         [](RawFile &r) { weight(r, 0).name = ""; }},
        {"two weights of one name", "weights[1].name: found 'conv_in.weight' again",
         [](RawFile &r) { weight(r, 1).name = weight(r, 0).name; }},
        {"a convolution's weight in fp32", "weight: found 'conv_in.weight' of F32",
         [](RawFile &r) {
             weight(r, 0).type = DataType::F32;
             weight(r, 0).shape[0] /= 2;
         }},
        {"a weight for other input channels", "[kh][kw][6]",
         [](RawFile &r) {
             weight(r, 0).shape = {4, 3, 3, 12};
         }},
        {"a kernel of 72 pixels", "kh and kw at most 31",
         [](RawFile &r) {
             weight(r, 0).shape = {1, 72, 1, 6};
         }},
        {"a bias for other channels", "bias: found 'conv_in.bias' of F32 [4][4]",
         [](RawFile &r) {
             weight(r, 1).shape = {4, 4};
         }},
        {"a bias for three of two timesteps", "R = 1 or 2",
         [](RawFile &r) {
             op(r, kConvIn).bias = addWeight(r, DataType::F32, {3, 8});
         }},
        {"an affine table without beta", "affine: found 'norm1.affine' of F32 [2][1][8]",
         [](RawFile &r) {
             weight(r, op(r, kNorm1).affine).shape = {2, 1, 8};
         }},
    };
}

} // namespace mote::test
