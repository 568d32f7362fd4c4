import pino, { type DestinationStream, type Logger as PinoLogger } from "pino";

export type Logger = PinoLogger;

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * Makes the one logger of the process: JSON lines, written at once, so that a crash loses none. BERTH_LOG_LEVEL beats the config.
 * Pid and host name are left to journald.
 */
export function createLogger(level: LogLevel = "info", destination: DestinationStream = stderr()): Logger {
  return pino(
    {
      level: levelOf(process.env["BERTH_LOG_LEVEL"]) ?? level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: named },
    },
    destination,
  );
}

function stderr(): DestinationStream {
  return pino.destination({ fd: 2, sync: true });
}

function named(label: string): { level: string } {
  return { level: label };
}

function levelOf(text: string | undefined): LogLevel | undefined {
  return LOG_LEVELS.find((level) => level === text);
}
