package org.img2imu.core

/** Something given to the demo is wrong, told in one sentence for its user. */
class InputError(message: String, cause: Throwable? = null) : Exception(message, cause)

internal inline fun ensure(condition: Boolean, otherwise: () -> String) {
    if (!condition) throw InputError(otherwise())
}
