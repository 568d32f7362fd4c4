/** Tables and paragraphs for people: plain characters, nothing wider than asked. Pure. */

/** One cell: lines, of which long ones are wrapped at blanks. */
export type Cell = string | readonly string[];

/** A table with lines around its cells. Widths are those of the text in each column; rows are as high as their highest cell. */
export function grid(widths: readonly number[], header: readonly Cell[], rows: readonly (readonly Cell[])[]): string {
  const rule = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
  return [rule, ...gridRow(widths, header), rule, ...rows.flatMap((row) => [...gridRow(widths, row), rule])].join("\n");
}

function gridRow(widths: readonly number[], row: readonly Cell[]): string[] {
  const cells = widths.map((width, column) => [row[column] ?? ""].flat().flatMap((line) => wrap(line, width)));
  const height = Math.max(...cells.map((lines) => lines.length));
  return Array.from(
    { length: height },
    (_, line) => `|${cells.map((lines, column) => ` ${(lines[line] ?? "").padEnd(widths[column] ?? 0)} `).join("|")}|`,
  );
}

/** Breaks a text at blanks into lines of at most `width` characters; a longer word is cut. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).flatMap((word) => cut(word, width))) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** A wrapped text behind a first line's lead-in. */
export function paragraph(lead: string, text: string, width: number): string {
  const indent = " ".repeat(lead.length);
  return wrap(text, width - lead.length)
    .map((line, index) => `${index === 0 ? lead : indent}${line}`)
    .join("\n");
}

/** Aligned columns, two blanks between; a column of numbers stands to the right. The first row is a header. */
export function columns(rows: readonly (readonly string[])[]): string {
  const count = Math.max(...rows.map((row) => row.length));
  const formats = Array.from({ length: count }, (_, column) => {
    const cells = rows.map((row) => row[column] ?? "");
    const numeric = cells.slice(1).some((cell) => /\d/.test(cell)) && cells.slice(1).every((cell) => /^([<>~]?-?\d.*|-|)$/.test(cell));
    return { width: Math.max(...cells.map((cell) => cell.length)), numeric };
  });
  const line = (row: readonly string[]): string =>
    formats
      .map(({ width, numeric }, column) => (numeric ? (row[column] ?? "").padStart(width) : (row[column] ?? "").padEnd(width)))
      .join("  ");
  return rows.map((row) => line(row).trimEnd()).join("\n");
}

function cut(word: string, width: number): string[] {
  return word.length <= width ? [word] : (word.match(new RegExp(`.{1,${width}}`, "g")) ?? []);
}
