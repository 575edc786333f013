package org.img2imu.demo

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager

/** What a latency depends on: the machine, and the state it is in. */
class Device(private val context: Context) {
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
        "power_save" to power.isPowerSaveMode,
        "battery" to battery(),
    )

    /** As `PowerManager` names it; null before Android 10. */
    fun thermalStatus(): String? =
        if (Build.VERSION.SDK_INT >= 29) THERMAL.getOrElse(power.currentThermalStatus) { "unknown" } else null

    private fun battery(): Map<String, Any?> {
        val state = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED)) ?: return emptyMap()
        val level = state.getIntExtra(BatteryManager.EXTRA_LEVEL, -1)
        val scale = state.getIntExtra(BatteryManager.EXTRA_SCALE, -1)
        return mapOf(
            "level" to if (level >= 0 && scale > 0) 100 * level / scale else null,
            "charging" to (state.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) != 0),
            "celsius" to state.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, 0).takeIf { it > 0 }?.let { it / 10.0 },
        )
    }

    private companion object {
        val THERMAL = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
    }
}
