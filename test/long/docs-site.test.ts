/** Builds the documentation site and reads it in Debian's Chromium, as a visitor does. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sections } from '../../docs/.vitepress/pages.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const dist = join(root, 'docs/.vitepress/dist');
const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };
const profile = dirname(temporaryFolder()());

let server: Server;
let origin: string;
let browser: BrowserContext;
let page: Page;
/** Errors of pages, and requests that leave the site. */
const problems: string[] = [];

beforeAll(async () => {
  execFileSync('npm', ['run', 'docs'], { cwd: root, stdio: 'pipe' });
  server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://site').pathname);
    const file = [path, `${path}.html`, `${path}index.html`]
      .map((name) => join(dist, name))
      .find((name) => name.startsWith(dist) && extname(name) !== '' && existsSync(name));
    if (file === undefined) return void response.writeHead(404).end();
    response.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream');
    response.end(readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
    existsSync,
  );
  if (executablePath === undefined) throw new Error('Chromium is missing: apt-get install chromium');
  browser = await chromium.launchPersistentContext(join(profile, 'chromium'), {
    executablePath,
    args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run'],
  });
  await browser.route('**', (route) => {
    const url = route.request().url();
    if (url.startsWith(origin) || url.startsWith('data:')) return route.continue();
    problems.push(`requests ${url}`);
    return route.abort();
  });
  page = await browser.newPage();
  page.on('pageerror', (error) => problems.push(`${page.url()}: ${error.message}`));
}, 300_000);

afterAll(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
});

it('shows every page of the sidebar, and every link and anchor leads somewhere', async () => {
  await page.goto(origin);
  const listed = await page
    .locator('.VPSidebar a')
    .evaluateAll((links) => links.map((link) => (link as unknown as { href: string }).href));
  const pages = sections.flatMap((section) => section.pages);
  expect(listed).toHaveLength(pages.length);
  const anchors = new Map<string, Set<string>>();
  const links = new Set<string>();
  const open = [...listed];
  for (const url of open) {
    const response = await page.goto(url);
    expect(response?.status(), url).toBe(200);
    await page.locator('.vp-doc h1').first().waitFor();
    const found = (await page.evaluate(`({
      ids: [...document.querySelectorAll('[id]')].map((element) => element.id),
      links: [...document.querySelectorAll('.vp-doc a')].map((link) => link.href),
    })`)) as { ids: string[]; links: string[] };
    anchors.set(new URL(url).pathname, new Set(found.ids));
    for (const link of found.links) {
      if (!link.startsWith(origin)) continue;
      links.add(link);
      const bare = link.split('#', 1)[0] ?? '';
      if (!open.includes(bare)) open.push(bare);
    }
  }
  for (const link of links) {
    const { pathname, hash } = new URL(link);
    if (hash !== '')
      expect([...(anchors.get(pathname) ?? [])], link).toContain(decodeURIComponent(hash.slice(1)));
  }
  expect(problems).toEqual([]);
});

it('shows every example', async () => {
  await page.goto(`${origin}/guides/examples`);
  const headings = await page.locator('.vp-doc h2').allTextContents();
  const files = readdirSync(join(root, 'examples'));
  expect(headings.map((text) => text.replace(/[\s\u200b]+$/, ''))).toEqual(files.sort());
});

it('finds a page by a search', async () => {
  await page.goto(origin);
  await page.getByRole('button', { name: 'Search' }).first().click();
  await page.locator('#localsearch-input').fill('encryption keys');
  const result = page.locator('#localsearch-list a').first();
  await result.waitFor();
  await result.click();
  await page.locator('.vp-doc h1').first().waitFor();
  expect(new URL(page.url()).pathname).not.toBe('/');
  expect(problems).toEqual([]);
});
