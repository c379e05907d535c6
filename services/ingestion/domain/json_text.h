#pragma once

#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"

// JSON as devices and applications write it, where a strict reader refuses it: bytes that are not
// UTF-8, escapes that are none, numbers beyond 64 bits, texts that were cut. Takes linear time.
namespace yagura::ingestion {

// What a JSON string says, from behind its opening quote to its closing one (or to the end).
// Escapes that are none stay as they stand, halves of surrogate pairs become U+FFFD; bytes that are
// not UTF-8 are kept.
std::string UnescapeJson(std::string_view text);

// The object that `text` begins with as a strict reader takes it, but for the escapes in its
// strings: bytes that are not UTF-8 become U+FFFD, control characters in strings escapes; what is
// open at the end is closed, what comes behind the object is left out. Empty: `text` begins with
// none.
std::string RepairJsonObject(std::string_view text);

// The value at the front of `text` (blanks before it skipped), taken off it: a string with its
// quotes, an object or array with its brackets, which must balance, or the text of anything else.
// Empty: there is none, or it does not end.
std::string_view TakeJsonValue(std::string_view& text);

// The pairs of an object, as TakeJsonValue gives it, in their order: the name unescaped, the value
// as TakeJsonValue gives it. False: it is none, or not made of pairs.
bool ForEachJsonPair(std::string_view object,
                     absl::FunctionRef<void(std::string name, std::string_view value)> take);

// What a value, as TakeJsonValue gives it, says: a string unescaped, anything else its own text
// without the blanks between.
std::string JsonValueText(std::string_view value);

}  // namespace yagura::ingestion
