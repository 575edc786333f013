package org.img2imu.demo

import android.net.Uri
import android.provider.OpenableColumns
import org.img2imu.core.Execution
import org.img2imu.core.InputError
import org.img2imu.core.Measurements
import org.img2imu.core.ModelInfo
import org.img2imu.core.OnnxModel
import org.img2imu.core.Profile
import org.img2imu.core.Protocol
import org.img2imu.core.Stage
import org.img2imu.core.Verdict
import org.img2imu.core.benchmark
import org.img2imu.core.plainWindow
import org.img2imu.core.profile
import org.img2imu.core.reportJson
import java.io.File
import java.io.IOException
import java.util.concurrent.CancellationException

/** What is measured, and how. */
data class BenchChoice(
    val file: ModelFile = Variant.END_TO_END,
    val execution: Execution = Execution(),
    val protocol: Protocol = Protocol(),
)

/** A finished benchmark. */
class BenchReport(
    val choice: BenchChoice,
    val measurements: Measurements,
    val verdict: Verdict,
    val device: Map<String, Any?>,
) {
    val json = reportJson(
        measurements,
        verdict,
        device,
        mapOf(
            "form" to choice.file.key,
            "file" to choice.file.file,
            "runtime" to choice.file.runtime,
        ),
    )
}

sealed interface BenchState {
    object Idle : BenchState
    class Running(val stage: String, val seconds: Double = 0.0) : BenchState
    class Done(val report: BenchReport) : BenchState
    class Failed(val problem: String) : BenchState
}

/** Measures the latency of a model; one at a time. */
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
        state.value = BenchState.Running(OPEN)
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

    /** Copies a document to the app's models, and chooses it. */
    fun open(document: Uri) {
        if (running) return
        state.value = BenchState.Running(COPY)
        demo.work({ state.value = BenchState.Failed(it) }) {
            choice = choice.copy(file = copy(document))
            state.value = BenchState.Idle
        }
    }

    private fun copy(document: Uri): OpenedFile {
        val resolver = demo.context.contentResolver
        val name = resolver.query(document, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)
            ?.use { if (it.moveToFirst()) it.getString(0) else null }
            ?: document.lastPathSegment.orEmpty()
        return try {
            val source = resolver.openInputStream(document) ?: throw IOException("nothing is there")
            source.use { demo.opened.add(name, it) }
        } catch (error: IOException) {
            throw InputError("$name cannot be read: ${error.message}", error)
        } catch (error: SecurityException) {
            throw InputError("$name may not be read by this app", error)
        }
    }

    private fun measure(choice: BenchChoice): BenchReport {
        val device = Device(demo.context) { seen }
        val file = choice.file
        val golden = demo.golden()
        val described = device.describe()
        val windows = { info: ModelInfo ->
            if (file is Variant) golden.windows else info.knownAnswers()?.windows ?: listOf(plainWindow(info))
        }
        val measured = benchmark(windows, choice.protocol, device, onProgress = ::enter) {
            file.open(demo.context, choice.execution)
        }
        enter(COMPARE, 0.0)
        val tested = file.open(demo.context, choice.execution).use { compared(file, golden, it) }
        val profile = profiled(choice, windows)
        val verdict = Verdict(choice.execution, tested, profile, file.bytes(demo.context), measured)
        return BenchReport(choice, measured, verdict, described)
    }

    /** Null of a runtime that has no profiler. */
    private fun profiled(choice: BenchChoice, windows: (ModelInfo) -> List<FloatArray>): Profile? {
        if (choice.file == Variant.TORCHSCRIPT) return null
        val prefix = File(demo.context.cacheDir, "profile").path
        val model = choice.file.open(demo.context, choice.execution, prefix) as OnnxModel
        return profile(windows(model.info), model)
    }

    private fun enter(stage: String, seconds: Double) {
        if (cancelled) throw CancellationException()
        state.value = BenchState.Running(stage, seconds)
    }

    private fun folder(): File =
        demo.context.getExternalFilesDir(null) ?: throw InputError(OpenedFiles.NO_STORAGE)

    companion object {
        /** Stages beside those of [Stage]. */
        const val OPEN = "open"
        const val COPY = "copy"
        const val COMPARE = "compare"
    }
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
