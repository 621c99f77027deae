/** What a provider's answer says of the call, the credential, the address or the provider. */
export type AnswerMeaning =
  | 'success'
  | 'key_rejected'
  | 'key_lacks_permission'
  | 'quota_exhausted'
  | 'rate_limited'
  | 'overloaded'
  | 'model_not_found'
  | 'deployment_not_found'
  | 'api_version_rejected'
  | 'wrong_endpoint'
  | 'wrong_operation_for_model'
  | 'region_blocked'
  | 'content_refused'
  | 'context_too_long'
  | 'bad_request'
  | 'not_an_api'
  | 'unknown';

type Words = readonly [meaning: AnswerMeaning, pattern: RegExp];

/**
 * Words, the first that match decide. Every gap in a pattern is bounded and the text is short, so matching is linear. `\w` is not
 * used where a word may end in punctuation.
 */
export const meaningWords: readonly Words[] = [
  [
    'context_too_long',
    /prompt tokens too long|(maximum|max) (prompt|model|input|sequence|context) length|model token limit|(prompt|input|sequence) .{0,40}(is longer than|exceeds the|is too long)|input length .{0,30}(should be|exceed)|context (length|window|size)|(prompt|input|request|messages?|body) (is|are|was) too (long|large for)|too many (input |prompt )?tokens|(token count|number of tokens|tokens) .{0,60}exceeds?\b|exceeds? .{0,60}(maximum|max|limit of) .{0,40}tokens|reduce the length|request body too large for|maximum .{0,20}number of (input )?tokens|too large for model with \d|validation error: .{0,40}(tokens .{0,60}must be|must have .{0,20}tokens)/,
  ],
  [
    'content_refused',
    /(input|output) new sensitive|usage guidelines|content exists risk|considered high risk|guardrails?\b|(violation|violates?|against) .{0,40}(guidelines)|moderation|\u654f\u611f|\u4e0d\u5b89\u5168\u5185\u5bb9|content (management|filter|policy|policies|moderation)|content filtering|(was|were|is|are|been) flagged|safety (system|polic|filter|guideline)|usage polic(y|ies)|violat\S+ .{0,60}polic|inappropriate content|prohibited content|sensitive (content|words|information)|(severe violation|violence|hate|sexual) (information|content)|responsible ai/,
  ],
  [
    'quota_exhausted',
    /usage limits?\b.{0,40}regain access|reached your .{0,40}usage limits?|spend(ing)? limit|overdue|billed users|add (more )?credits?\b|top up your|requires a subscription|upgrade for access|volume quota|\u989d\u5ea6(\u4e0d\u8db3|\u5df2\u7528\u5c3d)|limit: 0\b|(insufficient|not enough|no remaining|run out of|ran out of|out of|depleted|exhausted (your|all|the)|used all|any) .{0,24}(credits?|balance|funds?|quota)\b|credit balance|credits? .{0,40}(expired|exhausted|depleted|too low|used up|insufficient|reached)|credit limit|balance .{0,30}(too low|insufficient|not enough|exhausted)|spending (limit|cap)|exceeded .{0,40}budget|budget .{0,40}exceeded|monthly .{0,30}(quota|credits|limit|allowance)|hard limit has been reached|payment (is )?required|(in|account .{0,20}) arrears?\b|overdue payment|account is in good standing|key limit exceeded|\u4f59\u989d|\u6b20\u8d39/,
  ],
  [
    'rate_limited',
    /\brequest limit reached|\bqps\b|^(conn|token) limit$|\u901f\u7387\u9650\u5236|\u8bf7\u6c42\u9891\u7387|\u8bf7\u6c42\u8fc7\u4e8e\u9891\u7e41|rate.?limit(s|ed|ing)?\b|too many (concurrent )?requests|(requests?|tokens?|calls?|images?|quota metric) .{0,60}per.?(second|minute|min|hour|day)\b|\b[rt]p[smhd]\b|(try again|retry) (in|after) (about )?\d|throttl|(concurrency|concurrent requests?|parallel requests?) .{0,40}(limit|exceeded|reached|max)|max (organization )?concurrency|limit exceeded|resource has been exhausted|quota exceeded for/,
  ],
  [
    'quota_exhausted',
    /(exceed\S*|over|reached|exhausted|used up) .{0,40}(quota|usage limit|plan)\b|quota .{0,40}(exceeded|exhausted|reached|used up)|usage limit .{0,20}reached|check your (plan|billing)|billing (is not|has not|to be|must be|not) .{0,20}(enabled|active|set up)|requires billing|free (tier|trial) .{0,40}(exceeded|exhausted|ended|expired|only)/,
  ],
  [
    'overloaded',
    /system is (really |too )?busy|overload|(at|over|beyond|exceeded|out of|no|insufficient) .{0,16}capacity|capacity (is |was )?(exceeded|reached)|high (traffic|demand|load)|(model|server|service|engine) (is )?(too |currently |very )?(busy|loading|starting|unavailable|warming)|loading model|temporarily unavailable|no healthy upstream|upstream (connect|request|server) .{0,10}(error|timeout|timed out)|bad gateway|gateway time-?out|error code: 5\d\d|service unavailable|no deployments? available/,
  ],
  [
    'model_not_found',
    /(unavailable|not found the) model|model (identifier|id)\b.{0,120}(invalid|on-demand throughput)|model unloaded|\u6a21\u578b\u4e0d\u5b58\u5728|\u6a21\u578b.{0,80}\u65e0\u53ef\u7528\u6e20\u9053|no endpoints found|\bmodels?\b.{0,160}(does not exist|doesn't exist|do not exist|not exist|not found|is not valid|not a valid|not available|not recognized|unavailable|deprecated|decommissioned|retired|no longer|not deployed|not loaded|not supported by any|is unknown|is not supported for|is not compatible with)|(unknown|invalid|unsupported|no such|non-existent|unrecognized|incorrect) (model|engine)\b|not a valid model|model not exist|no models? (loaded|found|available|named)|(function|engine) .{0,80}not found|(does not|do not|don't|no) (have )?access to (the )?(specified |requested )?model|unable to access .{0,24}model|(requested|specified) model is not (supported|available)/,
  ],
  [
    'deployment_not_found',
    /deployment .{0,80}(does not exist|not exist|not found)|endpoint .{0,120}(is|was)( \S+){0,2} (not running|paused|stopped|scaled|closed)/,
  ],
  ['key_lacks_permission', /\b(credential|key|token)s? .{0,40}only authori[sz]ed for use/],
  [
    'wrong_operation_for_model',
    /not a (chat|completion|text|embedding)s? model|(operation|endpoint|api) .{0,40}(does not work|not work|is not supported|not supported|unsupported) .{0,40}\bmodel|model .{0,80}(does not|doesn't|do not|not) support .{0,40}(chat|completion|embedding|responses|endpoint|operation|\bapi\b|generat|method|task)|model .{0,80}(only|not) supported in|(cannot|can't|can not) be used (with|for|in) .{0,40}(chat|completion|embedding|responses|endpoint|operation|api)|not supported in the v1|(server|model) does not support embeddings?|not allowed to (sample|generate|embed)|does not support (chat|completions?|embeddings?|responses|messages|audio|images?)\b/,
  ],
  [
    'api_version_rejected',
    /api.?versions? .{0,60}(not supported|unsupported|invalid|unknown|is required|missing|not valid)|(unsupported|invalid|unknown|missing|required|only for|newer) .{0,24}api.?version/,
  ],
  [
    'wrong_endpoint',
    /^file not found\.?$|only available when using|invalid url|unknown (request )?(url|endpoint|path|route)|unrecognized (request )?(url|endpoint|path)|no (handler|route|such route|such endpoint|such path)|unexpected endpoint|(path|url|route|page|endpoint) .{0,80}(not found|not exist|not defined)|cannot (post|get|put|patch|delete) \/|method not allowed|resource not found|double check your url|use the correct endpoint|^(404 )?(page )?not found\.?$/,
  ],
  [
    'region_blocked',
    /(country|countries|region|territory|location)\b.{0,60}(not supported|unsupported|not available|not allowed|blocked|restricted)|not available in your|firewall|virtual network|\bip( address)?\b.{0,60}(not (on |in )?(the )?(allow|authori|permit)|blocked|denied|not whitelisted)|public (network )?access is disabled|private (endpoint|link)/,
  ],
  [
    'key_lacks_permission',
    /^no permission to access|terms acceptance|accept the terms|blocked at the (project|organization|org) level|(has not|not) activated the model|insufficient (permissions?|scopes?|privileges?)|missing (scopes?|permissions?)|must be verified|lacks? .{0,40}(permission|data action|role|scope|access)|(does|do) not have .{0,24}(permission|access|privilege|role)|(doesn't|don't) have .{0,24}(permission|access)|not (authori[sz]ed|allowed|permitted) to|not allowed to access|key can only|has not been used in project/,
  ],
  [
    'key_rejected',
    /^login fail\b|^iam certification failed|token tenant .{0,80}does not match|subscription is disabled|\u65e0\u6548\u7684\u4ee4\u724c|consumer .{0,60}suspended|(api|access|subscription|secret|security|auth\S{0,12}|bearer|service|provider)[ -]?(key|token)s?\b.{0,60}(invalid|incorrect|expired|not valid|revoked|malformed|missing|not found|disabled|deactivated|deleted|leaked|suspended|not exist|rejected|required|blocked|wrong|unknown|inactive)|(invalid|incorrect|wrong|expired|missing|bad|unknown|malformed|revoked|no|inactive) .{0,30}(api[ -]?key|access token|security token|(server )?token passed|api token|credentials?\b|subscription key|authori[sz]ation|authentication|auth header|x-api-key)|token (seems|is) (invalid|expired|incorrect)|unauthori[sz]ed|unauthenticated|not authenticated|authentication (fails|failed|failure|error|is required|required)|authori[sz]ation (fails|failed|required)|(account|user|organization|project|team|workspace)\b .{0,60}(deactivated|disabled|suspended|terminated|banned|restricted|blocked|archived)|(user|account|organization) not found|must be a member of an organization|organization.{0,40}should match|failed to get the authori[sz]ation|provide an? (valid )?api key|key based authentication/,
  ],
  ['key_lacks_permission', /access (is )?denied|forbidden|permission denied/],
  ['bad_request', /^invalid (params?|parameters?|arguments?)\b|^the parameter is invalid\b/],
];

/** How a message begins that misses an object, which another account may hold. */
export const missingObject =
  /^(no such (file|response|container|vector store|batch|thread|assistant|conversation|item)|(item|previous response|vector store|file|container|conversation) with id\b.{0,120}not found)/;

/** How OpenAI's message begins for a feature that is open to verified organizations only. */
export const unverified = /^your organization must be verified\b/;

/** Words of a refusal that is about the request. */
export const requestWords =
  /invalid|malformed|missing|must\b|should|cannot|can't|could not|unable to (parse|decode|read)|expected|require|unsupported|not supported|not support|not allowed|unknown|unrecogni[sz]ed|unexpected|unprocessable|too (long|short|large|small|many|few)|(less|greater|more) than|at (least|most)|minimum|maximum|exceeds?\b|empty|pars(e|ing)|json|schema|validat|bad request|not (a|an) (valid|integer|number|string)|does not match|not (one of|of type)|failed to (call|generate|deserialize)|adjust your|prompt/;
