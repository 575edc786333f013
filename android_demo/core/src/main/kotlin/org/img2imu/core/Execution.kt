package org.img2imu.core

/**
 * What computes the nodes of a model.
 *
 * @property key name in intents and reports
 * @property runtimeName as ONNX Runtime calls it
 */
enum class Provider(val key: String, val title: String, val runtimeName: String) {
    CPU("cpu", "CPU", "CPUExecutionProvider"),
    XNNPACK("xnnpack", "XNNPACK", "XnnpackExecutionProvider"),
    NNAPI("nnapi", "NNAPI", "NnapiExecutionProvider"),
    ;

    companion object {
        /** @throws InputError if there is none of that name */
        fun of(key: String): Provider = entries.find { it.key == key }
            ?: throw InputError("Unknown provider \"$key\"; known: ${entries.joinToString { it.key }}")
    }
}

/**
 * How a model is run.
 *
 * @property threads that work on one window
 */
data class Execution(val threads: Int = 1, val provider: Provider = Provider.CPU) {
    init {
        ensure(threads >= 1) { "threads must be at least 1, not $threads" }
    }
}
