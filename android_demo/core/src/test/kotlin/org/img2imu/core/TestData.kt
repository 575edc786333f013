package org.img2imu.core

import org.junit.AssumptionViolatedException
import java.io.File
import java.lang.management.ManagementFactory
import kotlin.math.abs
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** Vectors with known answers, made by Python. */
fun golden(name: String): Files = folder(File(setting("golden"), name))

/** Folders of golden vectors with the models that gave them, exported by Python. */
fun modelFolders(): List<File> {
    val folder = File(setting("models"))
    val found = folder.listFiles { file -> File(file, "golden.json").isFile }.orEmpty().sorted()
    if (found.isEmpty()) {
        val reason = "skipped, there are no models: run python android_demo/core/models.py $folder"
        println(reason)
        throw AssumptionViolatedException(reason)
    }
    return found
}

fun folder(folder: File) = Files { File(folder, it).readBytes() }

private fun setting(name: String) =
    checkNotNull(System.getProperty(name)) { "the system property $name must name a folder" }

/** 5 s at 50 Hz with gravity, two tones and a little noise; the same every time. */
fun exampleWindow(samples: Int = 250, seed: Int = 1): FloatArray {
    val random = java.util.Random(seed.toLong())
    return FloatArray(3 * samples) {
        val time = it % samples / 50.0
        val axis = it / samples
        val tones = 0.3 * Math.sin(2 * Math.PI * (1.5 + axis) * time) + 0.1 * Math.sin(2 * Math.PI * 9.3 * time)
        ((if (axis == 2) 1 else 0) + tones + 0.01 * random.nextGaussian()).toFloat()
    }
}

fun assertNear(expected: FloatArray, actual: FloatArray, tolerance: Double, what: String = "") {
    assertEquals(expected.size, actual.size, what)
    val worst = expected.indices.maxByOrNull { abs(expected[it].toDouble() - actual[it]) } ?: return
    assertTrue(
        expected.indices.all { abs(expected[it].toDouble() - actual[it]) <= tolerance },
        "$what: ${actual[worst]} instead of ${expected[worst]} at $worst",
    )
}

fun assertMessage(expected: String, work: () -> Unit) {
    val error = kotlin.test.assertFailsWith<InputError> { work() }
    assertTrue(expected in error.message!!, "\"${error.message}\" does not tell \"$expected\"")
}

/** Bytes that this thread takes from the heap, for each run after a warm-up. */
fun bytesPerRun(runs: Int, work: () -> Unit): Double {
    val threads = ManagementFactory.getThreadMXBean() as com.sun.management.ThreadMXBean
    val thread = Thread.currentThread().id
    repeat(runs) { work() }
    threads.getThreadAllocatedBytes(thread)
    val before = threads.getThreadAllocatedBytes(thread)
    repeat(runs) { work() }
    return (threads.getThreadAllocatedBytes(thread) - before) / runs.toDouble()
}
