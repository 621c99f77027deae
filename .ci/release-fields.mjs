// Writes the repository that a release runs in into package.json. A release without one is refused.
import { readFileSync, writeFileSync } from 'node:fs';

const { GITHUB_REPOSITORY: repository = '', GITHUB_SERVER_URL: server = 'https://github.com' } = process.env;
if (!/^[\w.-]+\/[\w.-]+$/.test(repository)) {
  console.error(
    'GITHUB_REPOSITORY: must be owner/name of the repository that the package is published from.',
  );
  process.exit(1);
}
const file = new URL('../package.json', import.meta.url);
const manifest = JSON.parse(readFileSync(file, 'utf8'));
const url = `${server}/${repository}`;
manifest.author = `${repository.split('/')[0]} (${server}/${repository.split('/')[0]})`;
manifest.homepage = `${url}#readme`;
manifest.bugs = { url: `${url}/issues` };
manifest.repository = { type: 'git', url: `git+${url}.git` };
writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`);
