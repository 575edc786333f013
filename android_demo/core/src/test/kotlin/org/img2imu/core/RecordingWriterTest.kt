package org.img2imu.core

import org.junit.Assume.assumeTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.File
import java.io.FileOutputStream
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class RecordingWriterTest {
    @get:Rule
    val folder = TemporaryFolder()

    private fun writer(vararg kinds: SensorKind, person: String = "") =
        RecordingWriter(kinds.asList(), person, 1_000_000_000_000L) { FileOutputStream(file(it)) }

    private fun file(name: String) = File(folder.root, name)

    private fun lines(name: String) = file(name).readLines()

    @Test
    fun `rows have time, values, label and person`() {
        writer(SensorKind.GYROSCOPE, SensorKind.MAGNETOMETER, person = "ann").use { writer ->
            writer.push(0, 5, 1f, -0.5f, 1e-7f)
            writer.label(7, "walk")
            writer.push(1, 8, 123456.789f, -0.0000006f, -47.062500f)
            writer.push(0, 6, Float.NaN, Float.POSITIVE_INFINITY, 0f)
            writer.push(0, 9, 0.1f, -9.80665f, 2000f)
            writer.label(10, "")
            writer.push(0, 10, 0.01f, 0.001f, 0.999999f)
        }
        assertEquals(
            listOf(
                "time (ns),x (rad/s),y (rad/s),z (rad/s),label,subject",
                "1000000000005,1.000000,-0.500000,0.000000,,ann",
                "1000000000006,,,0.000000,,ann",
                "1000000000009,0.100000,-9.806650,2000.000000,walk,ann",
                "1000000000010,0.010000,0.001000,0.999999,,ann",
            ),
            lines("gyro.csv"),
        )
        assertEquals(
            listOf("time (ns),x (uT),y (uT),z (uT),label,subject", "1000000000008,123456.789063,-0.000001,-47.062500,walk,ann"),
            lines("magn.csv"),
        )
    }

    @Test
    fun `what is half a second old is in the files, in whole rows`() {
        val writer = writer(SensorKind.ACCELEROMETER, SensorKind.GYROSCOPE)
        for (index in 0 until 500) {
            val time = index * 20_000_000L
            writer.push(0, time, 0f, 0f, 9.80665f)
            if (index < 100) writer.push(1, time, 0f, 0f, 0f)
            assertTrue(file("accel.csv").readText().endsWith("\n"))
            val behind = index + 1 - (lines("accel.csv").size - 1)
            assertTrue(behind <= 25, "$behind rows behind")
        }
        // One that has fallen silent is not behind for that.
        assertEquals(101, lines("gyro.csv").size)
        assertEquals(listOf(500, 100), writer.counts)
        assertEquals(50.0, writer.rates[0], 1e-9)
        writer.close()
        assertEquals(501, lines("accel.csv").size)
    }

    @Test
    fun `full storage is one sentence`() {
        assumeTrue(File("/dev/full").exists())
        val full = { _: String -> FileOutputStream("/dev/full") }
        assertMessage("The storage is full: what came before is kept") {
            RecordingWriter(listOf(SensorKind.ACCELEROMETER), "", 0, full)
        }
        assertMessage("cannot be written") {
            RecordingWriter(listOf(SensorKind.ACCELEROMETER), "", 0) { FileOutputStream(File(folder.root, "no/$it")) }
        }
    }

    @Test
    fun `names come from a line, and can be read again`() {
        assertEquals(listOf("walk", "climb stairs", "sit"), RecordingWriter.names(" walk,climb stairs,,walk , sit,"))
        assertEquals(emptyList(), RecordingWriter.names("  "))
        assertMessage("quotation marks") { RecordingWriter.names("a,\"b\"") }
        assertMessage("\"NaN\" would be read as no name") { RecordingWriter.names("walk, NaN") }
    }
}
