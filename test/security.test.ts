import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const read = (path: string) => readFileSync(at(path), 'utf8');
const policy = read('SECURITY.md');

interface Locked {
  dev?: boolean;
  peer?: boolean;
  optional?: boolean;
  hasInstallScript?: boolean;
  dependencies?: Record<string, string>;
}

it('every dependency is listed with why it is there', () => {
  const { dependencies, peerDependencies } = JSON.parse(read('package.json')) as {
    dependencies: Record<string, string>;
    peerDependencies: Record<string, string>;
  };
  expect(Object.keys(dependencies).sort()).toEqual(['lru-cache', 'undici', 'zod']);
  const listed = [...policy.matchAll(/^\| (`.+?) \| \S.*\|$/gm)].flatMap(([, names = '']) =>
    [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  );
  expect(listed.sort()).toEqual(Object.keys({ ...dependencies, ...peerDependencies }).sort());
});

it('neither the package nor what comes with it has install scripts', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const name of ['preinstall', 'install', 'postinstall', 'prepare'])
    expect(scripts).not.toHaveProperty(name);
  const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> };
  const ours = Object.entries(packages).filter(([, { dev, peer, optional }]) => !dev && !peer && !optional);
  expect(ours.length).toBeGreaterThan(3);
  for (const [name, { hasInstallScript }] of ours) expect(hasInstallScript, name).toBeUndefined();
  for (const name of ['lru-cache', 'undici', 'zod'])
    expect(packages[`node_modules/${name}`]?.dependencies, name).toBeUndefined();
});

it('every test that the threat model names is there', () => {
  const named = [...policy.matchAll(/`(test\/[^`]+)`/g)].map(([, path]) => path ?? '');
  expect(new Set(named).size).toBeGreaterThan(8);
  for (const path of named) expect(existsSync(at(path)), path).toBe(true);
});

it('workflows pin every action by its hash, and only the release and the site may sign', () => {
  const names = readdirSync(at('.github/workflows'));
  expect(names).toEqual(expect.arrayContaining(['ci.yml', 'release.yml']));
  for (const name of names) {
    const text = read(`.github/workflows/${name}`);
    const uses = [...text.matchAll(/uses:\s*(\S+)/g)].map(([, action]) => action);
    expect(uses.length).toBeGreaterThan(0);
    for (const action of uses) expect(action).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
    expect(text).toMatch(/^permissions:\n {2}contents: read$/m);
    expect(text.includes('id-token: write'), name).toBe(name === 'release.yml' || name === 'docs.yml');
  }
  const steps = [...read('.github/workflows/release.yml').matchAll(/run: (.*)/g)].map(([, step]) => step);
  // npm compares the repository of package.json with the repository where the statement was signed.
  expect(steps.at(-2)).toBe('node .ci/release-fields.mjs');
  expect(steps.at(-1)).toBe('npm publish --provenance --access public');
  expect(steps).toContain('npm audit --omit=dev');
});
