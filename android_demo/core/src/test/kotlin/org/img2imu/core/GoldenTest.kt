package org.img2imu.core

import org.junit.Test
import java.io.FileNotFoundException
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class GoldenTest {
    /** The vectors of the paper's view with one file changed. */
    private fun changed(name: String, change: (ByteArray) -> ByteArray) = Files { file ->
        golden("paper").read(file).let { if (file == name) change(it) else it }
    }

    private fun settings(old: String, new: String) = changed("golden.json") { content ->
        content.decodeToString().also { check(old in it) }.replace(old, new).encodeToByteArray()
    }

    @Test
    fun `damaged vectors are refused`() {
        assertMessage("images.bin cannot be read") {
            Golden.read(changed("images.bin") { throw FileNotFoundException() })
        }
        assertMessage("images.bin has 8 bytes instead of") { Golden.read(changed("images.bin") { it.copyOf(8) }) }
        assertMessage("windows.bin is not the file that was written") {
            Golden.read(changed("windows.bin") { it.also { content -> content[5]++ } })
        }
        assertMessage("golden.json is not JSON") { Golden.read(changed("golden.json") { it.copyOf(100) }) }
        assertMessage("have format 2") { Golden.read(settings("\"format\": 1", "\"format\": 2")) }
        assertMessage("instead of <f4") { Golden.read(settings("<f4", "<f8")) }
    }

    @Test
    fun `the self-test fails where pictures or answers differ`() {
        val other = Golden.read(settings("\"floor\": 1e-10", "\"floor\": 1e-05"))
        val result = selfTest(other)
        assertFalse(result.passed)
        assertTrue(result.greyLevels!! > 1)

        val golden = Golden.read(golden("paper"))
        val info = ModelInfo(golden.labels, golden.samplingRate, golden.samples, golden.views, Form.END_TO_END)
        val wrong = selfTest(golden, StandIn(info, Float.NaN))
        assertFalse(wrong.passed)
        assertEquals(Double.POSITIVE_INFINITY, wrong.logits)
        assertFalse(selfTest(golden, StandIn(info, 0f)).passed)
        assertFalse(selfTest(golden, StandIn(info, 0f, golden.logits)).passed)
        val small = ModelInfo(info.labels, info.samplingRate, info.samples, info.views, info.form, "int8")
        assertTrue(selfTest(golden, StandIn(small, 0f, golden.logits)).passed)
        assertFalse(selfTest(golden, StandIn(small, 0f)).passed)
        assertMessage("belong to another model") { selfTest(other, StandIn(info, 0f)) }
    }

    /** Answers with one logit for all; the labels are right if it knows the right logits. */
    private class StandIn(
        override val info: ModelInfo,
        private val logit: Float,
        private val known: List<FloatArray> = emptyList(),
    ) : Model {
        private var runs = 0

        override fun run(input: FloatArray) = Answer(info.labels).apply {
            logits.fill(logit)
            known.getOrNull(runs++)?.let { right -> probabilities[right.indices.maxBy { right[it] }] = 1f }
        }

        override fun close() = Unit
    }
}
