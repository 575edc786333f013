package org.img2imu.core

import org.junit.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertNull

class CsvRecordingTest {
    private fun read(text: String) = CsvRecording.read(text.reader(), "a.csv")

    private val more = (3..10).joinToString("") { "${it / 50.0},0,0,1\n" }

    @Test
    fun `samples with and without labels`() {
        val recording = read("\uFEFFt, x,y,z\r\n0.02,0,-1e-3,1\r\n\r\n0.04, 0.25 ,NaN,1.5\r\n$more")
        assertEquals(10, recording.size)
        assertContentEquals(longArrayOf(20_000_000, 40_000_000), recording.nanoseconds.copyOf(2))
        assertContentEquals(floatArrayOf(0f, -0.001f, 1f, 0.25f, Float.NaN, 1.5f), recording.values.copyOf(6))
        assertNull(recording.labels)
        assertEquals(50.0, recording.rate)
        val labelled = read("t,x,y,z,label\n0,0,0,1, walk\n" + (1..8).joinToString("") { "$it,0,0,1,\n" })
        assertEquals(listOf("walk", ""), labelled.labels?.take(2))
    }

    @Test
    fun `samples of several sensors`() {
        val sensors = listOf(ACCELEROMETER, Sensor("gyro"))
        val rows = (0..8).joinToString("") { "$it,1,2,3,4,5,6\n" }
        val recording = CsvRecording.read("t,x,y,z,gyro.x,gyro.y,gyro.z\n$rows".reader(), "a.csv", sensors)
        assertContentEquals(floatArrayOf(1f, 2f, 3f, 4f, 5f, 6f), recording.values.copyOf(6))
        assertEquals(9, recording.size)
        assertMessage("the header must be t,x,y,z or t,x,y,z,label, not t,x,y,z,gyro.x") {
            read("t,x,y,z,gyro.x,gyro.y,gyro.z\n$rows")
        }
    }

    @Test
    fun `the rate is the nominal one, whatever jitters, repeats or is missing`() {
        fun rate(vararg milliseconds: Double): Double {
            val times = LongArray(101)
            for (index in 1..100) {
                times[index] = times[index - 1] + (milliseconds[index % milliseconds.size] * 1e6).toLong()
            }
            return nominalRate(times)
        }
        assertEquals(50.0, rate(19.0, 21.0))
        assertEquals(100.0, rate(0.0, 20.0))
        assertEquals(50.0, rate(20.0, 20.0, 20.0, 20.0, 4000.0))
        assertEquals(12.42, rate(80.5))
        assertMessage("time rises 7 times, not 8") { nominalRate(LongArray(8) { it * 1000L }) }
    }

    @Test
    fun `a malformed file is told with its line`() {
        assertMessage("a.csv, line 1: the header must be t,x,y,z or t,x,y,z,label, not a,b") { read("a,b\n") }
        assertMessage("a.csv, line 1: the header must be") { read("") }
        assertMessage("a.csv, line 3: 3 columns instead of 4") { read("t,x,y,z\n0,0,0,1\n1,0,0\n") }
        assertMessage("a.csv, line 2: 4 columns instead of 5") { read("t,x,y,z,label\n0,0,0,1\n") }
        assertMessage("a.csv, line 4: y is not a number: \"o\"") { read("t,x,y,z\n0,0,0,1\n\n1,0,o,1\n") }
        for (time in listOf("Infinity", "NaN", "1e10")) {
            assertMessage("a.csv, line 2: t must be a finite number of seconds, not $time") {
                read("t,x,y,z\n$time,0,0,1\n")
            }
        }
        assertMessage("a.csv: the sampling rate cannot be told") { read("t,x,y,z\n0,0,0,1\n") }
    }
}
