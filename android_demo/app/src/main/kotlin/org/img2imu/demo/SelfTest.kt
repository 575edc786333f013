package org.img2imu.demo

import org.img2imu.core.InputError
import org.img2imu.core.SelfTestResult
import org.img2imu.core.selfTest

/** How one form did, or why it could not be tried. */
class Tried(val variant: Variant, val result: SelfTestResult?, val problem: String?)

/**
 * What a screen shows of the self-test.
 *
 * @property tried forms so far
 * @property problem why none can be tried, in one sentence
 */
data class SelfTestState(
    val running: Boolean = false,
    val tried: List<Tried> = emptyList(),
    val problem: String? = null,
)

/** Do the pictures drawn here, and the answers given here, equal Python's? */
class SelfTest(private val demo: Demo) {
    val state = Watched(SelfTestState())

    /** Begins; without effect while it runs. */
    fun start() {
        if (state.value.running) return
        state.value = SelfTestState(running = true)
        demo.work({ state.value = SelfTestState(problem = it) }) {
            val golden = demo.golden()
            for (variant in Variant.entries) {
                val tried = try {
                    Tried(variant, demo.open(variant).use { selfTest(golden, it) }, null)
                } catch (error: InputError) {
                    Tried(variant, null, error.message)
                }
                state.value = state.value.run { copy(tried = this.tried + tried) }
            }
            state.value = state.value.copy(running = false)
        }
    }
}
