import { defineConfig } from 'vitepress';
import { sections } from './pages.ts';

/** Files outside of docs/, by the page that shows them here. */
const outside: Record<string, string> = { 'README.md': '/index.md', 'SECURITY.md': '/internals/security.md' };

/** Returns a heading's anchor as GitHub and npm make it, so that one link works in all places. */
const slugify = (heading: string) =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_ -]/gu, '')
    .replaceAll(' ', '-');

const linkOf = (path: string) => `/${path.replace(/(^|\/)index$/, '$1')}`;

export default defineConfig({
  title: 'team-model-router',
  description: "Each team's OpenAI calls, with its own keys, to its own endpoints.",
  cleanUrls: true,
  markdown: {
    anchor: { slugify },
    config(md) {
      const { normalizeLink } = md;
      md.normalizeLink = (link) => {
        // SECURITY.md links to the pages from outside of docs/.
        const url = link.replace(/^docs\//, '/');
        const [file = '', anchor] = url.split('#');
        const example = /^(?:\.\.\/)+examples\/([\w-]+\.\w+)$/.exec(file)?.[1];
        if (example !== undefined) return normalizeLink(`/guides/examples.md#${slugify(example)}`);
        const page = outside[file.replace(/^(?:\.\.\/)+/, '')];
        if (page === undefined) return normalizeLink(url);
        return normalizeLink(anchor === undefined || page === '/index.md' ? page : `${page}#${anchor}`);
      };
    },
  },
  themeConfig: {
    search: { provider: 'local' },
    sidebar: sections.map(({ title, pages }) => ({
      text: title,
      items: pages.map(([text, path]) => ({ text, link: linkOf(path) })),
    })),
    outline: [2, 3],
  },
});
