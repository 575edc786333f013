package org.img2imu.core

import java.util.Locale

/**
 * Prints, as JSON, how long the paper's picture of 5 s at 50 Hz takes here, on one thread, beside the
 * authors' way to the same picture, and to its decibels alone.
 */
object SpectrogramBench {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val window = exampleWindow()
        val view = SpectrogramView()
        val picture = FloatArray(3 * view.height * view.width)
        val spectrogram = Spectrogram(view, 250)
        val waveform = Waveform(WaveformView(), 250)
        val authors = AuthorsWay(view)
        val protocol = Protocol(warmUp = 2000)
        val fast = measure(protocol) { spectrogram.draw(window, picture) }
        val slow = measure(Protocol(warmUp = 50)) { authors.draw(window) }
        val decibels = measure(Protocol(warmUp = 50)) { authors.decibels(window) }
        val trace = measure(protocol) { waveform.draw(window, picture) }
        println(
            """
            |{
            |  "what": "one window of 5 s at 50 Hz, nfft 64, noverlap 60, to 128x96; one thread of this host's JVM",
            |  "jvm": "${System.getProperty("java.vm.name")} ${System.getProperty("java.version")}",
            |  "spectrogram": ${line(fast)},
            |  "authors_way": ${line(slow)},
            |  "authors_way_decibels": ${line(decibels)},
            |  "waveform": ${line(trace)},
            |  "ratio": ${slow.percentile(50.0) / fast.percentile(50.0)},
            |  "bytes_per_window": ${bytesPerRun(1000) { spectrogram.draw(window, picture) }}
            |}
            """.trimMargin(),
        )
    }

    private fun line(timing: Timing): String {
        val (p50, p90, p95) = listOf(50.0, 90.0, 95.0).map { "%.4f".format(Locale.ROOT, timing.percentile(it)) }
        return """{"runs": ${timing.nanoseconds.size}, "p50_ms": $p50, "p90_ms": $p90, "p95_ms": $p95}"""
    }
}
