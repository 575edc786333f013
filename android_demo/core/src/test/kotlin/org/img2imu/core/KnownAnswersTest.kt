package org.img2imu.core

import org.junit.Test
import java.io.File
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** Windows with Python's answers in a file's own metadata. */
class KnownAnswersTest {
    @Test
    fun `exported files give the answers that they know`() {
        for (folder in modelFolders().filter { File(it, "model.ort").isFile }) {
            val golden = Golden.read(folder(folder))
            for (name in listOf("model.onnx", "model.ort", "model.image.onnx")) {
                OnnxModel.open(File(folder, name).path).use { model ->
                    val known = assertNotNull(model.info.knownAnswers())
                    assertEquals(minOf(4, golden.windows.size), known.windows.size)
                    assertContentEquals(golden.windows.first(), known.windows.first())
                    assertNear(golden.probabilities.last(), known.probabilities.last(), 1e-4)
                    val result = selfTest(known, model)
                    assertTrue(result.passed, "$folder/$name: $result")
                    assertEquals(0, result.labels)
                }
            }
        }
    }

    /** One window of 3 × 2 samples, 0 to 5, little-endian. */
    private val windows = "AAAAAAAAgD8AAABAAABAQAAAgEAAAKBA"

    private fun info(known: String?) = ModelInfo(
        listOf("still", "walk"), 50.0, 2, emptyList(), Form.END_TO_END, known = known,
    )

    private fun text(
        shape: String = "[1, 3, 2]",
        windows: String = this.windows,
        probabilities: String = "[[0.25, 0.75]]",
        allowed: String = "[0.05]",
    ) = """{"shape": $shape, "windows": "$windows", "probabilities": $probabilities, "allowed": $allowed}"""

    private class Answering(override val info: ModelInfo, private val walk: Float) : Model {
        lateinit var given: FloatArray

        override fun run(input: FloatArray) = Answer(info.labels).apply {
            given = input
            probabilities[0] = 1 - walk
            probabilities[1] = walk
        }

        override fun close() = Unit
    }

    @Test
    fun `an answer within what is allowed passes, and no other`() {
        val info = info(text())
        val known = info.knownAnswers()!!
        val model = Answering(info, 0.79f)
        val close = selfTest(known, model)
        assertContentEquals(floatArrayOf(0f, 1f, 2f, 3f, 4f, 5f), model.given)
        assertTrue(close.passed)
        assertEquals(0.04, close.probabilities!!, 1e-6)
        assertFalse(selfTest(known, Answering(info, 0.81f)).passed)
        assertFalse(selfTest(known, Answering(info, Float.NaN)).passed)
        val other = selfTest(known, Answering(info, 0.3f))
        assertEquals(1 to false, other.labels to other.passed)
    }

    @Test
    fun `damaged or foreign ones are told in a sentence`() {
        fun refused(text: String, message: String) = assertMessage(message) { info(text).knownAnswers() }
        assertNull(info(null).knownAnswers())
        refused("{", "the model's known answers is not JSON")
        refused("{}", "the model's known answers has no shape")
        refused(text(shape = "[1, 6, 2]"), "are of windows [1, 6, 2], not of its own")
        refused(text(shape = "[]"), "are of windows []")
        refused(text(shape = "[1000000000, 3, 2]"), "not of its own")
        refused(text(windows = "?"), "the model's known answers are damaged")
        refused(text(windows = "AAAA"), "not whole")
        refused(text(shape = "[2, 3, 2]"), "not whole: 1, 1, 1 of 2")
        refused(text(allowed = "[]"), "not whole: 1, 1, 0 of 1")
        refused(text(probabilities = "[[1]]"), "not of its 2 labels")
        refused(text(probabilities = "[\"a\"]"), "probabilities must be a list of numbers")
    }
}
