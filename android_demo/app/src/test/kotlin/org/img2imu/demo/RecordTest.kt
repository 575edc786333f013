package org.img2imu.demo

import android.app.AlertDialog
import android.content.Intent
import android.hardware.Sensor
import android.net.Uri
import android.os.SystemClock
import android.provider.OpenableColumns
import android.view.View
import android.view.ViewGroup
import android.widget.CheckBox
import android.widget.ToggleButton
import org.junit.Assume.assumeTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowAlertDialog
import java.io.File
import java.io.FileInputStream
import java.io.FileNotFoundException
import java.io.FileOutputStream
import java.time.Duration
import java.util.zip.ZipInputStream
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

/** Recordings with labels, from emulated sensors to files and the system's sheet. */
class RecordTest : AppTest() {
    private val folder get() = activity.getExternalFilesDir("recordings")!!
    private val recordings get() = folder.list().orEmpty().sorted()

    private fun launchWith(vararg types: Int) {
        types.forEach(::add)
        launch()
        open(Tab.RECORD)
    }

    private fun views(id: Int): List<View> = activity.findViewById<ViewGroup>(id)!!.let { group ->
        (0 until group.childCount).map(group::getChildAt)
    }

    private fun pad(label: String): ToggleButton =
        views(R.id.pads).flatMap { row -> (row as ViewGroup).let { (0 until it.childCount).map(it::getChildAt) } }
            .filterIsInstance<ToggleButton>().first { it.textOn == label }

    private fun press(label: String) {
        pad(label).performClick()
        settle()
    }

    /** Sends what the three sensors measure until a moment, in ms of the system's clock. */
    private fun sendUntil(moment: Long) {
        while (true) {
            val (type, time) = SENSORS.map { (type, begin, step) -> Pair(type, begin + step * sent(type)) }
                .minBy { it.second }
            if (time >= moment) break
            SystemClock.setCurrentTimeMillis(time)
            sense(type, time * 1_000_000, measured(type, sent(type), time))
            counts[type] = sent(type) + 1
            if (time % 500 < 20) settle()
        }
        SystemClock.setCurrentTimeMillis(moment)
        settle()
    }

    private val counts = HashMap<Int, Int>()

    private fun sent(type: Int) = counts[type] ?: 0

    private fun measured(type: Int, index: Int, time: Long): FloatArray {
        val seconds = time / 1000f
        return when (type) {
            Sensor.TYPE_ACCELEROMETER ->
                floatArrayOf((index * 7 % 41 - 20) / 8f, (index * 5 % 37 - 18) / 8f, 9.75f + index * 3 % 5 / 8f)
            Sensor.TYPE_GYROSCOPE -> floatArrayOf(seconds / 8, -seconds / 16, 1 - seconds / 4)
            else -> floatArrayOf(20 + seconds, -30 + seconds / 2, -seconds)
        }
    }

    @Test
    fun `three sensors become the files that Python's tests convert`() {
        launchWith(*ALL)
        val recorder = Recorder(activity.applicationContext, wallClock = { WALL_MS })
        recorder.names = "walk, climb stairs"
        recorder.person = "ann"
        fun idle() = shadowOf(recorder.worker.looper).idle()
        SystemClock.setCurrentTimeMillis(900)
        recorder.start(recorder.available)
        idle()
        for ((until, label) in listOf(1500L to "walk", 7000L to "walk", 7500L to "climb stairs", 14_000L to "")) {
            sendUntil(until)
            idle()
            if (label.isNotEmpty()) recorder.press(label)
            idle()
        }
        recorder.stop()
        idle()
        val name = recordings.single()
        assertEquals("Recorded $name", recorder.state.value.said)
        val golden = File(System.getProperty("built")).resolve("../../tests/recordings/phone")
        File(folder, name).copyRecursively(File("target/recording"), overwrite = true)
        for (file in listOf("accel.csv", "gyro.csv", "magn.csv")) {
            val written = File(folder, "$name/$file").readText()
            assertEquals(File(golden, file).readText(), written, "$file: see tests/recordings/test_phone.py")
        }
        recorder.close()
    }

    @Test
    fun `the screen offers what there is, and tells how far it is`() {
        launchWith(Sensor.TYPE_ACCELEROMETER, Sensor.TYPE_MAGNETIC_FIELD)
        val ticks = views(R.id.sensors).map { it as CheckBox }
        assertEquals(listOf("Accelerometer", "Magnetometer"), ticks.map { it.text })
        type(R.id.names, "walk, sit,stairs")
        click(R.id.record)
        assertEquals("Stop", shown(R.id.record))
        assertEquals("Press what is being done", shown(R.id.stretch))
        val begun = SystemClock.elapsedRealtime()
        for (index in 0 until 230) {
            SystemClock.setCurrentTimeMillis(begun + 20L * index)
            sense(Sensor.TYPE_ACCELEROMETER, (begun + 20L * index) * 1_000_000, floatArrayOf(0f, 0f, 9.8f))
        }
        press("sit")
        elapseRecorder(1.0)
        assertEquals("accelerometer: 230 samples, 50 Hz\nmagnetometer: 0 samples, sends nothing", shown(R.id.tracks))
        assertEquals("sit for 0:01", shown(R.id.stretch))
        assertEquals("0:05", shown(R.id.elapsed))
        assertTrue(pad("sit").isChecked && !pad("walk").isChecked)
        press("walk")
        assertEquals("walk for 0:00", shown(R.id.stretch))
        assertTrue(pad("walk").isChecked && !pad("sit").isChecked)
        press("walk")
        assertEquals("Press what is being done", shown(R.id.stretch))
        assertTrue(activity.findViewById<View>(R.id.content)!!.keepScreenOn)
        open(Tab.LIVE)
        assertEquals("Stop", shown(R.id.record), "a recording is not left by a slip")
        click(R.id.record)
        assertEquals("Record", shown(R.id.record))
        assertEquals("Recorded ${recordings.single()}", shown(R.id.said))
        assertFalse(activity.findViewById<View>(R.id.content)!!.keepScreenOn)
        assertEquals(231, File(folder, "${recordings.single()}/accel.csv").readLines().size)
    }

    private fun elapseRecorder(seconds: Double) {
        shadowOf(demo.recorder.worker.looper).idleFor(Duration.ofMillis((1000 * seconds).toLong()))
        settle()
    }

    @Test
    fun `only what is ticked is recorded, and what was typed is there again`() {
        launchWith(*ALL)
        (views(R.id.sensors)[1] as CheckBox).isChecked = false
        type(R.id.names, "walk")
        type(R.id.person, "bo")
        click(R.id.record)
        sendUntil(3000)
        click(R.id.record)
        assertEquals(listOf("accel.csv", "magn.csv"), File(folder, recordings.single()).list()!!.sorted())
        open(Tab.LIVE)
        open(Tab.RECORD)
        assertEquals(listOf(true, false, true), views(R.id.sensors).map { (it as CheckBox).isChecked })
        assertEquals(listOf("walk", "bo"), listOf(shown(R.id.names), shown(R.id.person)))
    }

    @Test
    fun `a recording lives through a rotation, and tells what the system kept from it`() {
        launchWith(*ALL)
        type(R.id.names, "walk, sit")
        click(R.id.record)
        sendUntil(2000)
        press("walk")
        controller.recreate()
        settle()
        assertEquals("Stop", shown(R.id.record))
        assertTrue(pad("walk").isChecked)
        sendUntil(4000)
        assertEquals("", shown(R.id.away))
        controller.pause().stop()
        SystemClock.setCurrentTimeMillis(10_000)
        for ((type, begin, step) in SENSORS) counts[type] = ((10_000 - begin) / step).toInt() + 1
        controller.restart().start().resume()
        settle()
        sendUntil(12_000)
        elapseRecorder(0.5)
        assertEquals(
            "Nothing came for 6 s: the system stops the sensors of an app that is not seen", shown(R.id.away),
        )
        click(R.id.record)
        val rows = File(folder, "${recordings.single()}/accel.csv").readLines().drop(1)
        assertEquals(150 + 99, rows.size)
        assertTrue(rows.last().endsWith(",walk"))
    }

    @Test
    fun `an app that is ended keeps what was recorded, and the next one says so`() {
        launchWith(*ALL)
        click(R.id.record)
        sendUntil(5000)
        val behind = 200 - (File(folder, "${recordings.single()}/accel.csv").readLines().size - 1)
        assertTrue(behind in 0..50, "a kill would lose $behind samples")
        controller.pause().stop().destroy()
        launch()
        open(Tab.RECORD)
        val name = recordings.single()
        assertEquals("The recording $name ended with the app: what came until then is kept", shown(R.id.said))
        assertEquals(201, File(folder, "$name/accel.csv").readLines().size)
        assertEquals(1, views(R.id.kept).size)
        controller.recreate()
        settle()
    }

    @Test
    fun `a recording is shared as an archive, and deleted after a question`() {
        launchWith(*ALL)
        click(R.id.record)
        sendUntil(3000)
        click(R.id.record)
        val name = recordings.single()
        val row = views(R.id.kept).single()
        row.findViewById<View>(R.id.share)!!.performClick()
        settle()
        @Suppress("DEPRECATION") // the typed form is of Android 13
        val send = shadowOf(activity).nextStartedActivity.getParcelableExtra<Intent>(Intent.EXTRA_INTENT)!!
        assertEquals("application/zip", send.type)
        assertTrue(send.flags and Intent.FLAG_GRANT_READ_URI_PERMISSION != 0)
        val uri = send.clipData!!.getItemAt(0).uri
        val provider = Robolectric.setupContentProvider(SharedFiles::class.java, uri.authority)
        val names = ArrayList<String>()
        ZipInputStream(FileInputStream(provider.openFile(uri, "r").fileDescriptor)).use { zip ->
            generateSequence { zip.nextEntry }.forEach { entry ->
                names += entry.name
                assertEquals(File(folder, entry.name).readText(), zip.readBytes().decodeToString())
            }
        }
        assertEquals(listOf("$name/accel.csv", "$name/gyro.csv", "$name/magn.csv"), names)
        provider.query(uri, null, null, null, null).use { cursor ->
            cursor.moveToFirst()
            assertEquals("$name.zip", cursor.getString(cursor.getColumnIndexOrThrow(OpenableColumns.DISPLAY_NAME)))
            assertTrue(cursor.getLong(cursor.getColumnIndexOrThrow(OpenableColumns.SIZE)) > 1000)
        }
        assertFailsWith<SecurityException> { provider.openFile(uri, "rw") }
        for (other in listOf("no.zip", "..", "../files")) {
            val wanted: Uri = uri.buildUpon().path("").appendPath(other).build()
            assertFailsWith<FileNotFoundException> { provider.openFile(wanted, "r") }
        }
        row.findViewById<View>(R.id.delete)!!.performClick()
        assertEquals(listOf(name), recordings)
        (ShadowAlertDialog.getLatestDialog() as AlertDialog).getButton(AlertDialog.BUTTON_POSITIVE).performClick()
        settle()
        assertEquals(emptyList(), recordings)
        assertEquals(emptyList(), views(R.id.kept))
    }

    @Test
    fun `what cannot be recorded is told in a sentence`() {
        launchWith()
        assertEquals("This phone has no accelerometer, gyroscope or magnetometer", shown(R.id.said))
        assertFalse(activity.findViewById<View>(R.id.record)!!.isEnabled)
    }

    @Test
    fun `wrong names, no sensor and no sample leave nothing behind`() {
        launchWith(Sensor.TYPE_ACCELEROMETER)
        type(R.id.names, "walk, \"sit\"")
        click(R.id.record)
        assertEquals("A name may not have quotation marks, semicolons or tabs: \"sit\"", shown(R.id.said))
        type(R.id.names, "walk")
        (views(R.id.sensors)[0] as CheckBox).isChecked = false
        click(R.id.record)
        assertEquals("Tick what is to be recorded", shown(R.id.said))
        (views(R.id.sensors)[0] as CheckBox).isChecked = true
        click(R.id.record)
        click(R.id.record)
        assertTrue("nothing is kept" in shown(R.id.said), shown(R.id.said))
        assertEquals(emptyList(), recordings)
    }

    @Test
    fun `full storage ends a recording in a sentence`() {
        assumeTrue(File("/dev/full").exists())
        launchWith(*ALL)
        var made = 0
        val recorder = Recorder(activity.applicationContext, open = { file ->
            made++
            if (file.name == "magn.csv") FileOutputStream("/dev/full") else FileOutputStream(file)
        })
        recorder.start(recorder.available)
        shadowOf(recorder.worker.looper).idle()
        assertEquals(3, made)
        assertEquals("The storage is full: what came before is kept", recorder.state.value.said)
        assertFalse(recorder.running)
        recorder.close()
    }

    @Test
    fun `without storage the screen says so`() {
        launchWith(Sensor.TYPE_ACCELEROMETER)
        folder.run {
            deleteRecursively()
            writeText("in the way")
        }
        click(R.id.record)
        assertTrue("there can be no folder" in shown(R.id.said), shown(R.id.said))
    }

    private companion object {
        val ALL = intArrayOf(Sensor.TYPE_ACCELEROMETER, Sensor.TYPE_GYROSCOPE, Sensor.TYPE_MAGNETIC_FIELD)

        /** Each with its first moment and its period, in ms. */
        val SENSORS = listOf(
            Triple(Sensor.TYPE_ACCELEROMETER, 1000L, 20L),
            Triple(Sensor.TYPE_GYROSCOPE, 1003L, 25L),
            Triple(Sensor.TYPE_MAGNETIC_FIELD, 990L, 50L),
        )

        /** 31 December 2025, 14:05:06.500 UTC. */
        const val WALL_MS = 1_767_189_906_500L
    }
}
