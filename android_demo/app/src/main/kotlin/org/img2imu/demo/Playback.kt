package org.img2imu.demo

import org.img2imu.core.CsvRecording
import org.img2imu.core.InputError
import org.img2imu.core.Sensor
import java.io.IOException

/**
 * What a screen shows of the recording.
 *
 * @property seconds played so far, and [length] of all
 * @property truth what was really done in the latest window
 * @property right windows whose label is the true one, of [judged]
 */
data class PlaybackState(
    val stream: StreamState = StreamState(),
    val playing: Boolean = false,
    val seconds: Double = 0.0,
    val length: Double = 0.0,
    val truth: String = "",
    val right: Int = 0,
    val judged: Int = 0,
)

/** Plays the recording in the assets through the model, as fast as it was recorded. */
class Playback(private val demo: Demo) {
    val state = Watched(PlaybackState())

    private val tick = Runnable(::advance)
    private var suspended = false

    // Worker thread only.
    private lateinit var recording: CsvRecording
    private var stream: Stream? = null
    private var next = 0

    /** Plays on, or again from the start. */
    fun play() = demo.work(::fail) {
        if (stream == null) open()
        state.value = state.value.copy(playing = true)
        demo.worker.removeCallbacks(tick)
        demo.worker.post(tick)
    }

    /** Stops where it is. */
    fun pause() {
        demo.worker.post {
            demo.worker.removeCallbacks(tick)
            if (state.value.playing) state.value = state.value.copy(playing = false)
        }
    }

    /** Stops while the app is not seen, if it plays. */
    fun suspend() {
        suspended = state.value.playing
        pause()
    }

    /** Plays on if [suspend] stopped it. */
    fun resume() {
        if (suspended) play()
        suspended = false
    }

    private fun open() {
        val sensors = demo.pipeline().info.sensors
        recording = read(sensors)
        next = 0
        stream = Stream(demo.pipeline(), sensors.map { recording.rate }, OVERLAP, ::show)
        val status = "Held-out person, ${recording.rate.toInt()} Hz"
        state.value = PlaybackState(StreamState(status = status), length = seconds(recording.size - 1))
    }

    private fun read(sensors: List<Sensor>) = try {
        CsvRecording.read(demo.context.assets.open(FILE).reader(), FILE, sensors)
    } catch (error: IOException) {
        throw InputError("This app was built without $FILE", error)
    }

    private fun advance() {
        val stream = stream ?: return
        val until = state.value.seconds + TICK_MS / 1e3
        while (next < recording.size && seconds(next) <= until) {
            push(stream)
            next++
        }
        state.value = state.value.copy(seconds = until)
        if (next < recording.size) {
            demo.worker.postDelayed(tick, TICK_MS)
        } else {
            stream.finish()
            this.stream = null
            state.value = state.value.copy(playing = false, seconds = state.value.length)
        }
    }

    /** Hands on the next row, to all sensors. */
    private fun push(stream: Stream) {
        val axes = recording.values.size / recording.size
        for (sensor in 0 until axes / 3) {
            val (x, y, z) = List(3) { recording.values[axes * next + 3 * sensor + it] }
            stream.push(sensor, recording.nanoseconds[next], x, y, z)
        }
    }

    private fun show(moment: Moment, past: List<Past>) {
        val before = state.value
        val truth = recording.labels?.get(indexAt(moment.start)).orEmpty()
        state.value = before.copy(
            stream = before.stream.copy(moment = moment, past = past),
            truth = truth,
            right = before.right + if (truth == moment.label) 1 else 0,
            judged = before.judged + if (truth.isEmpty()) 0 else 1,
        )
    }

    private fun indexAt(start: Double): Int {
        val time = recording.nanoseconds[0] + Math.round(start * 1e9)
        val found = recording.nanoseconds.binarySearch(time)
        return (if (found < 0) -found - 1 else found).coerceAtMost(recording.size - 1)
    }

    private fun seconds(index: Int) = (recording.nanoseconds[index] - recording.nanoseconds[0]) / 1e9

    private fun fail(problem: String) {
        state.value = PlaybackState(StreamState(problem = problem))
    }

    companion object {
        const val FILE = "recording.csv"

        /** Share of a window that the next one repeats. */
        const val OVERLAP = 0.5

        private const val TICK_MS = 50L
    }
}
