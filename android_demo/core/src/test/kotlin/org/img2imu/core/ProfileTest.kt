package org.img2imu.core

import org.junit.Test
import java.io.File
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue

/** The runtime's profile: a real one, and one of providers that this machine lacks. */
class ProfileTest {
    private val file get() = File(modelFolders().first { it.name == "paper" }, "model.onnx")
    private val window = listOf(exampleWindow())

    @Test
    fun `a real profile tells every node`() {
        val prefix = File.createTempFile("profile", "").path
        val profile = profile(window, OnnxModel.open(file.path, profile = prefix))
        assertFalse(File(prefix).parentFile.listFiles()!!.any { it.name.startsWith(File(prefix).name + "_") })
        File(prefix).delete()
        val taken = profile.taken(Provider.CPU)
        assertEquals(taken.all, taken.nodes)
        assertEquals(1.0, taken.time, 1e-9)
        assertEquals("CPU ran all ${taken.all} nodes", taken.toString())
        val kinds = profile.operators.map { it.name }
        // The classifier's head, and the encoder's convolutions under the names that optimisation gives them.
        assertTrue("Gemm" in kinds && kinds.any { "Conv" in it }, "$kinds")
        assertEquals(1, profile.operators.single { it.name == "Softmax" }.nodes)
        val times = profile.operators.map { it.milliseconds }
        assertEquals(times.sortedDescending(), times)
        assertTrue(profile.milliseconds > 0)
        val none = profile.taken(Provider.XNNPACK)
        assertTrue(none.fellBack)
        assertEquals("XNNPACK took none of ${taken.all} nodes: this is the CPU's time", none.toString())
    }

    private fun node(name: String, kind: String, provider: String, microseconds: Int) = """
        {"cat": "Node", "pid": 1, "tid": 1, "dur": $microseconds, "ts": 1, "ph": "X", "name": "${name}_kernel_time",
         "args": {"op_name": "$kind", "provider": "$provider", "node_index": "1"}}"""

    private fun run(scale: Int) = listOf(
        """{"cat": "Session", "pid": 1, "tid": 1, "dur": 9, "ts": 1, "ph": "X", "name": "model_run", "args": {}}""",
        node("conv1", "Conv", "XnnpackExecutionProvider", 500 * scale),
        node("conv2", "Conv", "XnnpackExecutionProvider", 250 * scale),
        node("conv3", "Conv", "CPUExecutionProvider", 200 * scale),
        node("softmax", "Softmax", "CPUExecutionProvider", 50 * scale),
    )

    @Test
    fun `shares are of nodes and of time, without the first run`() {
        val profile = Profile.parse((run(100) + run(1) + run(3)).joinToString(prefix = "[", postfix = "]"))
        val taken = profile.taken(Provider.XNNPACK)
        assertEquals(2 to 4, taken.nodes to taken.all)
        assertEquals(0.75, taken.time, 1e-9)
        assertEquals("XNNPACK ran 2 of 4 nodes, 75 % of the time", taken.toString())
        assertEquals(listOf("Conv", "Conv", "Softmax"), profile.operators.map { it.name })
        assertEquals(1.5, profile.operators[0].milliseconds, 1e-9)
        assertEquals(2.0, profile.milliseconds, 1e-9)
    }

    @Test
    fun `what is no profile is refused`() {
        assertMessage("the runtime's profile is not JSON") { Profile.parse("[{") }
        assertMessage("the runtime's profile must be a list") { Profile.parse("{}") }
        assertMessage("no second run") { Profile.parse(run(1).joinToString(prefix = "[", postfix = "]")) }
        assertMessage("has no op_name") { Profile.parse("""[{"cat": "Node", "name": "a", "args": {}}]""") }
    }

    @Test
    fun `a provider that this runtime lacks is refused, not replaced`() {
        val lacking = Provider.entries - OnnxModel.providers.toSet()
        assertTrue(Provider.CPU in OnnxModel.providers)
        assertTrue(Provider.NNAPI in lacking, "NNAPI is Android's alone")
        for (provider in lacking) {
            assertMessage("this ONNX Runtime has no ${provider.title}; it has CPU") {
                OnnxModel.open(file.path, Execution(1, provider))
            }
        }
    }
}
