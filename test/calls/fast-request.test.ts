import { fastRequestTests } from '../support/fast-request.ts';

fastRequestTests();
