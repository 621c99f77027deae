import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { tool as aiTool, embed, generateText, jsonSchema, stepCountIs, streamText } from 'ai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { masterKey, type RunningGateway, runningGateway } from '../support/running-gateway.ts';

const model = 'my-team-model';
const prompt = 'Who are you?';
const answer = 'The provider of acme.';

let gateway: RunningGateway;
const reachedFor: string[] = [];
const loopbackFetch = globalThis.fetch;

beforeAll(async () => {
  // Some of these report on themselves unless they are told not to; here they could not, and it would be seen.
  process.env.LANGSMITH_TRACING = process.env.LANGCHAIN_TRACING_V2 = 'false';
  globalThis.fetch = (input, init) => {
    const { hostname, href } = new URL(input instanceof Request ? input.url : input);
    if (hostname === '127.0.0.1') return loopbackFetch(input, init);
    reachedFor.push(href);
    return Promise.reject(new Error('Loopback only.'));
  };
  gateway = await runningGateway();
  gateway.provider
    .onToolResult('call_weather', { content: 'It is sunny in Boston.' })
    .onMessage(/weather/, {
      toolCalls: [{ id: 'call_weather', name: 'weather', arguments: '{"city":"Boston"}' }],
    })
    .onMessage(/Who are you/, { content: answer })
    .onEmbedding(/./, { embedding: [0.5, 0.25] });
});
afterAll(async () => {
  globalThis.fetch = loopbackFetch;
  await gateway.close();
  expect(reachedFor).toEqual([]);
});

describe('the AI SDK', () => {
  const provider = () =>
    createOpenAICompatible({ name: 'gateway', baseURL: `${gateway.url}/v1`, apiKey: gateway.key });

  it('generateText', async () => {
    const { text, finishReason, usage, response } = await generateText({ model: provider()(model), prompt });
    expect(text).toBe(answer);
    expect(finishReason).toBe('stop');
    expect(usage.totalTokens).toBeGreaterThan(0);
    expect(response.headers?.['x-litellm-model-group']).toBe(model);
  });

  it('streamText', async () => {
    const { textStream, finishReason } = streamText({ model: provider()(model), prompt });
    const pieces: string[] = [];
    for await (const piece of textStream) pieces.push(piece);
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join('')).toBe(answer);
    expect(await finishReason).toBe('stop');
  });

  it('generateText with a tool, over two steps', async () => {
    const asked: string[] = [];
    const weather = aiTool({
      inputSchema: jsonSchema<{ city: string }>({ type: 'object', properties: { city: { type: 'string' } } }),
      execute: async ({ city }) => {
        asked.push(city);
        return 'sunny';
      },
    });
    const { text } = await generateText({
      model: provider()(model),
      prompt: 'What is the weather in Boston?',
      tools: { weather },
      stopWhen: stepCountIs(2),
    });
    expect(asked).toEqual(['Boston']);
    expect(text).toBe('It is sunny in Boston.');
  });

  it('embed', async () => {
    const { embedding } = await embed({ model: provider().embeddingModel(model), value: 'x' });
    expect(embedding).toEqual([0.5, 0.25]);
  });

  it('an error keeps its status and its words', async () => {
    const failed = generateText({ model: provider()('nobody-has-this'), prompt, maxRetries: 0 });
    await expect(failed).rejects.toMatchObject({
      statusCode: 404,
      message: expect.stringContaining('nobody-has-this'),
    });
  });
});

describe("LangChain's ChatOpenAI", () => {
  const chat = (apiKey = gateway.key) =>
    new ChatOpenAI({ model, apiKey, maxRetries: 0, configuration: { baseURL: `${gateway.url}/v1` } });

  it('invoke', async () => {
    const { content, response_metadata } = await chat().invoke([new HumanMessage(prompt)]);
    expect(content).toBe(answer);
    expect(response_metadata.finish_reason).toBe('stop');
  });

  it('stream', async () => {
    const pieces: unknown[] = [];
    for await (const { content } of await chat().stream(prompt)) if (content !== '') pieces.push(content);
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join('')).toBe(answer);
  });

  it('invoke with a tool', async () => {
    const weather = tool(async () => 'sunny', {
      name: 'weather',
      description: 'The weather in a city',
      schema: z.object({ city: z.string() }),
    });
    const { tool_calls } = await chat().bindTools([weather]).invoke('What is the weather in Boston?');
    expect(tool_calls).toMatchObject([{ name: 'weather', args: { city: 'Boston' } }]);
  });

  it('OpenAIEmbeddings', async () => {
    const embeddings = new OpenAIEmbeddings({
      model,
      apiKey: gateway.key,
      encodingFormat: 'float',
      configuration: { baseURL: `${gateway.url}/v1` },
    });
    expect(await embeddings.embedQuery('x')).toEqual([0.5, 0.25]);
  });

  it("a key that is no team's is refused, and so is the operator's for a team's model", async () => {
    await expect(chat(`sk-${'x'.repeat(43)}`).invoke(prompt)).rejects.toMatchObject({ status: 401 });
    await expect(chat(masterKey).invoke(prompt)).rejects.toMatchObject({ status: 404 });
  });
});
