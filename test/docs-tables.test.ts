import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { pageOf, tables, withTable } from '../docs/.vitepress/tables.ts';

it.each(Object.entries(tables))('docs/%s shows what the code has (npm run docs:tables)', (name, text) => {
  const page = readFileSync(pageOf(name), 'utf8');
  expect(page).toBe(withTable(page, text));
});
