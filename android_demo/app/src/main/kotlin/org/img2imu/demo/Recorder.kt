package org.img2imu.demo

import android.content.Context
import android.hardware.Sensor
import android.hardware.SensorEvent
import android.hardware.SensorEventListener
import android.hardware.SensorManager
import android.os.Handler
import android.os.HandlerThread
import android.os.SystemClock
import org.img2imu.core.InputError
import org.img2imu.core.RecordingWriter
import org.img2imu.core.SensorKind
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kotlin.math.abs

/**
 * What a screen shows of recordings.
 *
 * @property name of the recording that runs; null while none does
 * @property seconds since it began
 * @property tracks what each of its sensors has sent
 * @property labels that can be pressed
 * @property label of the stretch that runs, for [labelSeconds] so far; empty while none does
 * @property away seconds in which nothing came, because the system stopped the sensors
 * @property kept names of the recordings on the phone, the newest first
 * @property said of the last recording, or why there is none, in one sentence
 */
data class RecorderState(
    val name: String? = null,
    val seconds: Double = 0.0,
    val tracks: List<Track> = emptyList(),
    val labels: List<String> = emptyList(),
    val label: String = "",
    val labelSeconds: Double = 0.0,
    val away: Double = 0.0,
    val kept: List<String> = emptyList(),
    val said: String = "",
)

/** A sensor's samples so far, its rate in Hz, and whether nothing has come for a while. */
data class Track(val kind: SensorKind, val count: Int, val rate: Double, val silent: Boolean)

/**
 * Records the phone's sensors to files, with the labels that its user presses.
 *
 * It has a thread of its own: a sensor does not wait while a model thinks.
 *
 * @param wallClock milliseconds since 1970
 * @param open makes a file
 */
class Recorder(
    private val context: Context,
    private val wallClock: () -> Long = System::currentTimeMillis,
    private val open: (File) -> FileOutputStream = ::FileOutputStream,
) : SensorEventListener {
    val state = Watched(RecorderState())

    private val thread = HandlerThread("recorder").apply { start() }
    val worker = Handler(thread.looper)
    private val sensors = context.getSystemService(Context.SENSOR_SERVICE) as SensorManager
    private val settings = context.getSharedPreferences("recorder", Context.MODE_PRIVATE)
    private val tick = Runnable(::tell)

    /** What this phone can record. */
    val available: List<SensorKind> = SensorKind.entries.filter { sensors.getDefaultSensor(it.type) != null }

    /** What was typed and ticked last. */
    var names: String by Kept("names")
    var person: String by Kept("person")
    var unticked: String by Kept("unticked")

    @Volatile
    var running = false
        private set

    // On its own thread only, as all that follows; times are those of SystemClock.elapsedRealtimeNanos.
    private var recorded: Recorded? = null

    /** Looks which recordings there are, and whether the last one ended with the app. */
    fun look() = work {
        val ended = settings.getString(RUNNING, null)
        if (recorded == null && ended != null) {
            settings.edit().remove(RUNNING).apply()
            list("The recording $ended ended with the app: what came until then is kept")
        } else {
            list(state.value.said)
        }
    }

    /** Records from now on. */
    fun start(kinds: List<SensorKind>) {
        if (running) return
        running = true
        work { begin(kinds) }
    }

    /** Begins a stretch of this label, or ends it if it runs. */
    fun press(label: String) {
        val pressed = SystemClock.elapsedRealtimeNanos()
        work {
            val current = recorded ?: return@work
            current.label = if (current.label == label) "" else label
            current.labelled = pressed
            current.writer.label(pressed, current.label)
            tell()
        }
    }

    /** Ends the recording. */
    fun stop() = work { if (recorded != null) end("Recorded ${state.value.name}") }

    /** Deletes a recording. */
    fun delete(name: String) = work {
        folder(name).deleteRecursively()
        list("Deleted $name")
    }

    /** Makes an archive of a recording for the system's sheet; gives it to [ready] on this thread. */
    fun pack(name: String, ready: (File) -> Unit) = work {
        val shared = SharedFiles.folder(context).apply { deleteRecursively() }
        try {
            if (!shared.mkdirs()) throw IOException("there is no folder $shared")
            val archive = File(shared, "$name.zip")
            ZipOutputStream(archive.outputStream()).use { zip ->
                for (file in folder(name).listFiles().orEmpty().sorted()) {
                    zip.putNextEntry(ZipEntry("$name/${file.name}"))
                    file.inputStream().use { it.copyTo(zip) }
                }
            }
            ready(archive)
        } catch (error: IOException) {
            throw InputError("The recording cannot be shared: ${error.message}", error)
        }
    }

    /** Ends everything; what is recorded so far stays, and the next app says so. */
    fun close() {
        worker.post {
            sensors.unregisterListener(this)
            runCatching { recorded?.writer?.close() }
            recorded = null
        }
        thread.quitSafely()
    }

    /** Does [task] on the recorder's thread; its failure ends what is recorded, and is told. */
    private fun work(task: () -> Unit) {
        worker.post {
            try {
                task()
            } catch (error: InputError) {
                end(checkNotNull(error.message))
            }
        }
    }

    private fun folder(name: String = "") = context.getExternalFilesDir("recordings")?.let { File(it, name) }
        ?: throw InputError("This phone has no storage for recordings at present")

    private fun begin(kinds: List<SensorKind>) {
        if (kinds.isEmpty()) throw InputError("Tick what is to be recorded")
        val labels = RecordingWriter.names(names)
        val owner = RecordingWriter.names(person).joinToString(" ")
        val now = wallClock()
        val name = SimpleDateFormat("yyyy-MM-dd_HH-mm-ss", Locale.ROOT).format(Date(now))
        val target = folder(name)
        if (!target.mkdirs()) throw InputError("The recording cannot be written: there can be no folder $name")
        val began = SystemClock.elapsedRealtimeNanos()
        val writer = RecordingWriter(kinds, owner, now * 1_000_000 - began) { open(File(target, it)) }
        recorded = Recorded(kinds, writer, began)
        settings.edit().putString(RUNNING, name).apply()
        state.value = RecorderState(name, labels = labels, kept = state.value.kept)
        for (kind in kinds) {
            val sensor = sensors.getDefaultSensor(kind.type)
            if (sensor == null || !sensors.registerListener(this, sensor, PERIOD_US, worker)) {
                throw InputError("The ${kind.title} cannot be read")
            }
        }
        tell()
    }

    override fun onSensorChanged(event: SensorEvent) {
        val (x, y, z) = event.values
        val type = event.sensor.type
        val time = event.timestamp
        work { recorded?.take(type, time, x, y, z) }
    }

    override fun onAccuracyChanged(sensor: Sensor, accuracy: Int) = Unit

    /** Shows how far the recording is, again and again. */
    private fun tell() {
        val current = recorded ?: return
        state.value = current.told(state.value)
        worker.removeCallbacks(tick)
        worker.postDelayed(tick, TICK_MS)
    }

    private fun end(said: String) {
        sensors.unregisterListener(this)
        worker.removeCallbacks(tick)
        val current = recorded
        recorded = null
        val problem = runCatching { current?.writer?.close() }.exceptionOrNull()?.message
        settings.edit().remove(RUNNING).apply()
        running = false
        val nothing = current != null && current.writer.counts.all { it == 0 }
        if (nothing) state.value.name?.let { folder(it).deleteRecursively() }
        list(problem ?: if (nothing) "Nothing came from the sensors: nothing is kept. $said" else said)
    }

    /** Shows which recordings there are. */
    private fun list(said: String) {
        val found = context.getExternalFilesDir("recordings")?.list().orEmpty().sortedDescending()
        state.value = if (recorded != null) state.value.copy(kept = found) else RecorderState(kept = found, said = said)
    }

    /** A text that outlives the app. */
    private inner class Kept(private val name: String) {
        operator fun getValue(owner: Recorder, property: Any): String = settings.getString(name, "").orEmpty()

        operator fun setValue(owner: Recorder, property: Any, text: String) =
            settings.edit().putString(name, text).apply()
    }

    /** The recording that runs. */
    private class Recorded(val kinds: List<SensorKind>, val writer: RecordingWriter, private val began: Long) {
        var label = ""
        var labelled = began
        private val types = kinds.map { it.type }
        private val arrived = LongArray(kinds.size) { began }
        private val last = LongArray(kinds.size) { began }
        private val away = LongArray(kinds.size)

        /** From the sensors' clock to the system's: some phones have another. */
        private var ahead: Long? = null

        fun take(type: Int, time: Long, x: Float, y: Float, z: Float) {
            val number = types.indexOf(type)
            if (number < 0) return // still on its way from the recording before
            val now = SystemClock.elapsedRealtimeNanos()
            val shift = ahead ?: (now - time).let { if (abs(it) < SAME_CLOCK_NS) 0 else it }.also { ahead = it }
            val moment = time + shift
            writer.push(number, moment, x, y, z)
            if (moment - last[number] > SILENT_NS) away[number] += moment - last[number]
            last[number] = moment
            arrived[number] = now
        }

        fun told(before: RecorderState): RecorderState {
            val now = SystemClock.elapsedRealtimeNanos()
            val tracks = kinds.indices.map {
                Track(kinds[it], writer.counts[it], writer.rates[it], now - arrived[it] > SILENT_NS)
            }
            val labelSeconds = if (label.isEmpty()) 0.0 else (now - labelled) / 1e9
            val seconds = (now - began) / 1e9
            return before.copy(
                seconds = seconds, tracks = tracks, label = label, labelSeconds = labelSeconds, away = away.max() / 1e9,
            )
        }
    }

    private companion object {
        const val RUNNING = "running"
        const val TICK_MS = 500L

        /** Wanted of each sensor; it may send more often. */
        const val PERIOD_US = 20_000

        /** Without a sample for so long, the system has stopped a sensor, or it is broken. */
        const val SILENT_NS = 2_000_000_000L

        /** Clocks that differ by more are not the same. */
        const val SAME_CLOCK_NS = 60_000_000_000L
    }
}
