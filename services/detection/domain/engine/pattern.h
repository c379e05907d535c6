#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/text/text.h"

namespace yagura::detection {

// A text value of a rule: bytes (0 to 255) and wildcards.
using Pattern = std::vector<uint16_t>;
inline constexpr uint16_t kAnyText = 256;       // `*`
inline constexpr uint16_t kOneCharacter = 257;  // `?`
inline constexpr uint16_t kAnyDash = 258;       // each of the dashes that `windash` takes for one

// The values of placeholders by name, as Sigma texts: wildcards and escapes mean what they mean in
// a rule. A name is looked for as it is, then by its id, then as "": what any other stands for.
using Placeholders = StringMap<std::vector<std::string>>;
// The value of a placeholder whose values are not to be looked at: nothing passes a test of it, and
// whatever the modifiers, none is refused for it. No text of a rule has it.
inline constexpr std::string_view kAnyValue = "\x01";

// A placeholder's name in lower case with hyphens for all else than letters and digits:
// "Internal_Networks" is "internal-networks".
std::string PlaceholderId(std::string_view name);

// Reads Sigma's wildcards and escapes: `*`, `?`, `\*`, `\?`, `\\`; any other backslash is itself.
Pattern ReadPattern(std::string_view text);
// Case folded, wildcards as they are.
Pattern FoldPattern(const Pattern& pattern);

// Bytes of the dash (-, /, en dash, em dash, horizontal bar) at the begin of `text`; 0: none.
size_t DashSize(std::string_view text);
// Dashes that begin a word, as flags of a command line do, stand for each other.
Pattern WithAnyDash(const Pattern& pattern);

enum class Encoding : uint8_t { kBase64, kBase64Offset, kUtf16Le, kUtf16Be, kUtf16 };
// What `pattern` becomes in the encoding: one, or one for each offset. INVALID_ARGUMENT with a
// plain reason where wildcards stand in the way, the text is not UTF-8, or nothing of it would be
// left.
absl::StatusOr<std::vector<Pattern>> Encode(const Pattern& pattern, Encoding encoding);

// Every text that `text` becomes as its placeholders `%name%` take their values; `\%` is a plain
// percent sign. INVALID_ARGUMENT where there is none, or one that has no value, and for too many
// texts. Adds the names to `used`.
absl::StatusOr<std::vector<std::string>> ExpandPlaceholders(std::string_view text,
                                                            const Placeholders& values,
                                                            StringSet* used = nullptr);
// A placeholder's values under its name in a rule; null: it has none.
const std::vector<std::string>* FindPlaceholder(const Placeholders& values, std::string_view name);

}  // namespace yagura::detection
