// Linked into every program of a build with sanitizers.
//
// Mesa and the Vulkan loader leak under AddressSanitizer; the loader unloads the drivers before the report is
// written, so that their names would be missing from it. Nothing is unloaded, then the list below matches.

extern "C" __attribute__((visibility("default"))) int dlclose(void *) {
    return 0;
}

extern "C" __attribute__((visibility("default"))) const char *__lsan_default_suppressions() {
    // Third-party libraries only, each with the reason.
    return "leak:libvulkan_lvp.so\n" // Mesa's software driver keeps per-screen state until the process ends
           "leak:libLLVM\n";         // its compiler keeps global tables
}

extern "C" __attribute__((visibility("default"))) const char *__asan_default_options() {
    return "detect_stack_use_after_return=1:strict_string_checks=1";
}
