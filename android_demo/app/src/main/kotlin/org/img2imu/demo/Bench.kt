package org.img2imu.demo

import org.img2imu.core.InputError
import org.img2imu.core.Measurements
import org.img2imu.core.Protocol
import org.img2imu.core.SelfTestResult
import org.img2imu.core.benchmark
import org.img2imu.core.reportJson
import org.img2imu.core.selfTest
import java.io.File
import java.io.IOException
import java.util.concurrent.CancellationException

/** What is measured, and how. */
data class BenchChoice(
    val variant: Variant = Variant.END_TO_END,
    val threads: Int = 1,
    val protocol: Protocol = Protocol(),
)

/** A finished benchmark. */
class BenchReport(
    val choice: BenchChoice,
    val measurements: Measurements,
    val device: Map<String, Any?>,
    selfTest: SelfTestResult,
) {
    val json = reportJson(
        measurements,
        device,
        mapOf(
            "form" to choice.variant.key,
            "file" to choice.variant.file,
            "runtime" to choice.variant.runtime,
            "threads" to choice.threads,
            "self_test" to mapOf(
                "passed" to selfTest.passed,
                "windows" to selfTest.windows,
                "wrong_labels" to selfTest.labels,
                "image_difference" to selfTest.images,
                "logits_difference" to selfTest.logits,
            ),
        ),
    )
}

sealed interface BenchState {
    object Idle : BenchState
    class Running(val stage: String) : BenchState
    class Done(val report: BenchReport) : BenchState
    class Failed(val problem: String) : BenchState
}

/** Measures the latency of a form of the model; one at a time. */
class Bench(val demo: Demo) {
    val state = Watched<BenchState>(BenchState.Idle)

    /** What the screen has chosen. */
    var choice = BenchChoice()

    @Volatile
    private var cancelled = false

    /** Whether the app was seen all the time: Android slows down what is not. */
    @Volatile
    var seen = true

    val running get() = state.value is BenchState.Running

    /**
     * Begins; without effect while one runs.
     *
     * @param report name of a file for the outcome in the app's own folder; null for none
     */
    fun start(choice: BenchChoice, report: String? = null) {
        if (running) return
        this.choice = choice
        cancelled = false
        seen = true
        state.value = BenchState.Running("open")
        demo.work({ fail(it, report) }) {
            try {
                if (report != null) clear(report)
                val measured = measure(choice)
                if (report != null) Reports.write(folder(), "$report.json", measured.json)
                state.value = BenchState.Done(measured)
            } catch (_: CancellationException) {
                state.value = BenchState.Idle
            }
        }
    }

    /** Stops after the present stage. */
    fun cancel() {
        cancelled = true
    }

    /** Tells, on screen and in a file, why there is no benchmark. */
    fun fail(problem: String, report: String?) {
        try {
            if (report != null) {
                clear(report)
                Reports.write(folder(), "$report.error.txt", "$problem\n")
            }
            state.value = BenchState.Failed(problem)
        } catch (error: InputError) {
            state.value = BenchState.Failed(setOf(problem, error.message).joinToString(". "))
        }
    }

    /** An older outcome of the same name must not be taken for this one's. */
    private fun clear(report: String) {
        for (ending in listOf("json", "error.txt")) File(folder(), "$report.$ending").delete()
    }

    private fun measure(choice: BenchChoice): BenchReport {
        val device = Device(demo.context)
        val golden = demo.golden()
        val described = device.describe()
        val before = device.thermalStatus()
        val measurements = benchmark(golden.windows, choice.protocol, onStage = ::enter) {
            demo.open(choice.variant, choice.threads)
        }
        val state = mapOf(
            "thermal" to mapOf("before" to before, "after" to device.thermalStatus()),
            "in_foreground" to seen,
        )
        val tested = demo.open(choice.variant, choice.threads).use { selfTest(golden, it) }
        return BenchReport(choice, measurements, described + state, tested)
    }

    private fun enter(stage: String) {
        if (cancelled) throw CancellationException()
        state.value = BenchState.Running(stage)
    }

    private fun folder(): File =
        demo.context.getExternalFilesDir(null) ?: throw InputError("This phone has no storage for reports at present")
}

/** Files that appear whole or not at all. */
object Reports {
    /** @throws InputError if it cannot be written */
    fun write(folder: File, name: String, text: String) {
        val partial = File(folder, ".$name.partial")
        try {
            partial.writeText(text)
            if (!partial.renameTo(File(folder, name))) throw IOException("it cannot be renamed")
        } catch (error: IOException) {
            throw InputError("The report cannot be written: ${error.message}", error)
        } finally {
            partial.delete()
        }
    }
}
