package org.img2imu.demo

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.Debug
import android.os.PowerManager
import org.img2imu.core.Charge
import org.img2imu.core.Machine
import org.img2imu.core.State

/**
 * What a latency depends on: the machine, and the state it is in.
 *
 * @param seen whether the app is, and has been since it was last asked to measure
 */
class Device(private val context: Context, private val seen: () -> Boolean = { true }) : Machine {
    private val power = context.getSystemService(Context.POWER_SERVICE) as PowerManager

    val name: String get() = "${Build.MANUFACTURER} ${Build.MODEL}"
    val system: String get() = "Android ${Build.VERSION.RELEASE}"

    /** Of the processor: Android tells it from 12 on, and something like it before. */
    val soc: String
        get() {
            if (Build.VERSION.SDK_INT < 31) return Build.HARDWARE
            return listOf(Build.SOC_MANUFACTURER, Build.SOC_MODEL).filter { it != Build.UNKNOWN }.joinToString(" ")
        }

    fun describe(): Map<String, Any?> = mapOf(
        "manufacturer" to Build.MANUFACTURER,
        "model" to Build.MODEL,
        "soc" to soc,
        "cores" to Runtime.getRuntime().availableProcessors(),
        "abi" to Build.SUPPORTED_ABIS.firstOrNull(),
        "os" to system,
        "sdk" to Build.VERSION.SDK_INT,
        "battery" to battery(),
    )

    override val state: State
        get() = State(
            if (Build.VERSION.SDK_INT >= 29) power.currentThermalStatus else null,
            if (Build.VERSION.SDK_INT >= 30) power.getThermalHeadroom(0).toDouble().takeIf { it >= 0 } else null,
            power.isPowerSaveMode,
            seen(),
        )

    override val memory: Long?
        get() {
            // Garbage of ours is no memory that a model needs.
            Runtime.getRuntime().gc()
            return (1024 * Debug.getPss()).takeIf { it > 0 }
        }

    override val charge: Charge?
        get() {
            val manager = context.getSystemService(Context.BATTERY_SERVICE) as BatteryManager
            val counted = manager.getLongProperty(BatteryManager.BATTERY_PROPERTY_CHARGE_COUNTER)
            val state = batteryState() ?: return null
            val millivolts = state.getIntExtra(BatteryManager.EXTRA_VOLTAGE, 0)
            if (counted <= 0 || millivolts <= 0) return null
            return Charge(counted, millivolts / 1e3, plugged(state))
        }

    private fun battery(): Map<String, Any?> {
        val state = batteryState() ?: return emptyMap()
        val level = state.getIntExtra(BatteryManager.EXTRA_LEVEL, -1)
        val scale = state.getIntExtra(BatteryManager.EXTRA_SCALE, -1)
        return mapOf(
            "level" to if (level >= 0 && scale > 0) 100 * level / scale else null,
            "charging" to plugged(state),
            "celsius" to state.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, 0).takeIf { it > 0 }?.let { it / 10.0 },
        )
    }

    private fun batteryState() = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))

    private fun plugged(state: Intent) = state.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) != 0
}
