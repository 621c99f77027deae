import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { forbiddenNames, isCallControl, passedNames, usedNames } from '../../src/calls/json/control-names.ts';

const fixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8'));
/** LiteLLM 1.108.7: `all_litellm_params`, callback parameters, deployment parameters and what its proxy bans. */
const litellm: string[] = fixture('litellm-call-parameters');
/** The top-level fields of OpenAI's specification 2.3.0, by call. */
const openai: Record<string, string[]> = fixture('openai-request-fields');

describe('isCallControl', () => {
  it("has every parameter of LiteLLM's, but those that other servers take as their own", () => {
    expect(litellm.length).toBeGreaterThan(377);
    expect(litellm.filter((name) => !isCallControl(name))).toEqual([...passedNames].sort());
  });

  it.each(Object.entries(openai))('has no field that OpenAI specifies for %s', (_call, fields) => {
    expect(fields.length).toBeGreaterThan(0);
    expect(fields.filter(isCallControl)).toEqual([]);
  });

  it('has no field that providers document as theirs', () => {
    const source = readFileSync(new URL('../../src/calls/body/provider-fields.ts', import.meta.url), 'utf8');
    const names = new Set(source.match(/[a-z][a-z_]{2,}/g));
    for (const other of ['cache', 'documents', 'tools']) names.delete(other);
    expect(names.has('guided_json') && names.has('top_k') && names.has('chat_template_kwargs')).toBe(true);
    expect([...names].filter((name) => isCallControl(name)).sort()).toEqual([]);
  });

  it('has fields of services that begin or end like a known one', () => {
    for (const name of ['langfuse_new', 'aws_anything', 'vertex_x', 'some_api_key', 'other_secret_key'])
      expect(isCallControl(name), name).toBe(true);
    for (const name of ['aws', 'api', 'keyword', 'max_tokens', 'prompt_cache_key', 'x_secretary'])
      expect(isCallControl(name), name).toBe(false);
    for (const name of [...usedNames, ...forbiddenNames]) expect(isCallControl(name), name).toBe(true);
  });
});
