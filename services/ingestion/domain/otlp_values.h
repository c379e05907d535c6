#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "services/ingestion/domain/text_arena.h"

// Values of OTLP (AnyValue, KeyValue) as they stand on the wire.
namespace yagura::ingestion {

// Of one record, or of one resource and scope.
inline constexpr int kMaxOtlpDepth = 32;
inline constexpr int kMaxOtlpValues = 10'000;

enum class OtlpFault { kNone, kBroken, kTooDeep, kTooMany };

// An AnyValue. What it has several of counts as it does in protobuf: the last one.
struct OtlpValue {
  enum class Kind { kNone, kText, kBool, kInt, kDouble, kArray, kList, kBytes };
  Kind kind = Kind::kNone;
  std::string_view bytes;  // of texts, bytes; of arrays and lists the message
  uint64_t number = 0;
};

// Only values that CheckOtlpValue let pass may be written.
OtlpValue ReadOtlpValue(std::string_view message);

// Whether all in the AnyValue is sound and within the bounds; `values` counts what is nested.
OtlpFault CheckOtlpValue(std::string_view message, int& values);

struct OtlpPair {
  std::string_view key;
  std::string_view value;  // an AnyValue
};
// False where the bytes are no KeyValue.
bool ReadOtlpPair(std::string_view message, OtlpPair& pair);

void WriteOtlpJson(const OtlpValue& value, std::string& out);
// "key":value, with a comma before it where `out` does not end with a brace.
void WriteOtlpJson(const OtlpPair& pair, std::string& out);

// A text as it is, numbers as their text, arrays, lists and bytes as JSON writes them.
std::string_view OtlpText(std::string_view message, TextArena& arena);

}  // namespace yagura::ingestion
