/** How every command prints its help. */

/** Wider lines are hard to read, whatever the terminal. */
const maxWidth = 100;

/** For commander's `configureHelp`; without a terminal the help is as wide as it may be. */
export const helpSettings = {
  helpWidth: Math.min(process.stdout.isTTY ? process.stdout.columns : maxWidth, maxWidth),
  minWidthToWrap: 20,
};
