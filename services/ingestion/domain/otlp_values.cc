#include "services/ingestion/domain/otlp_values.h"

#include <bit>
#include <cmath>

#include "fmt/format.h"

#include "common/text/text.h"
#include "services/ingestion/domain/wire_reader.h"

namespace yagura::ingestion {
namespace {

using Kind = OtlpValue::Kind;
using Type = WireReader::Type;

// `depth`: of the value, from 1.
OtlpFault Check(std::string_view message, int depth, int& values) {
  if (depth > kMaxOtlpDepth) return OtlpFault::kTooDeep;
  if (++values > kMaxOtlpValues) return OtlpFault::kTooMany;
  WireReader value(message);
  while (value.Next()) {
    const bool is_array = value.Is(5, Type::kBytes);
    if (!is_array && !value.Is(6, Type::kBytes)) continue;
    WireReader inner(value.bytes());
    while (inner.Next()) {
      if (!inner.Is(1, Type::kBytes)) continue;
      OtlpPair pair{{}, inner.bytes()};
      if (!is_array && !ReadOtlpPair(inner.bytes(), pair)) return OtlpFault::kBroken;
      if (const auto fault = Check(pair.value, depth + 1, values); fault != OtlpFault::kNone) {
        return fault;
      }
    }
    if (inner.broken()) return OtlpFault::kBroken;
  }
  return value.broken() ? OtlpFault::kBroken : OtlpFault::kNone;
}

}  // namespace

OtlpValue ReadOtlpValue(std::string_view message) {
  OtlpValue value;
  WireReader in(message);
  const auto take = [&](Type type, Kind kind) {
    if (in.type() != type) return;
    value = {kind, type == Type::kBytes ? in.bytes() : std::string_view{}, in.number()};
  };
  while (in.Next()) {
    switch (in.field()) {
      case 1:
        take(Type::kBytes, Kind::kText);
        break;
      case 2:
        take(Type::kVarint, Kind::kBool);
        break;
      case 3:
        take(Type::kVarint, Kind::kInt);
        break;
      case 4:
        take(Type::kFixed64, Kind::kDouble);
        break;
      case 5:
        take(Type::kBytes, Kind::kArray);
        break;
      case 6:
        take(Type::kBytes, Kind::kList);
        break;
      case 7:
        take(Type::kBytes, Kind::kBytes);
        break;
      default:
        break;
    }
  }
  return value;
}

OtlpFault CheckOtlpValue(std::string_view message, int& values) {
  return Check(message, 1, values);
}

bool ReadOtlpPair(std::string_view message, OtlpPair& pair) {
  pair = {};
  WireReader in(message);
  while (in.Next()) {
    if (in.Is(1, Type::kBytes)) pair.key = in.bytes();
    if (in.Is(2, Type::kBytes)) pair.value = in.bytes();
  }
  return !in.broken();
}

void WriteOtlpJson(const OtlpPair& pair, std::string& out) {
  if (!out.ends_with('{')) out += ',';
  out += QuoteJson(pair.key);
  out += ':';
  WriteOtlpJson(ReadOtlpValue(pair.value), out);
}

void WriteOtlpJson(const OtlpValue& value, std::string& out) {
  switch (value.kind) {
    case Kind::kText:
      out += QuoteJson(value.bytes);
      return;
    case Kind::kBool:
      out += value.number != 0 ? "true" : "false";
      return;
    case Kind::kInt:
      out += std::to_string(static_cast<int64_t>(value.number));
      return;
    case Kind::kDouble: {
      // JSON has no other numbers.
      const auto number = std::bit_cast<double>(value.number);
      out += std::isfinite(number) ? fmt::format("{}", number) : fmt::format("\"{}\"", number);
      return;
    }
    case Kind::kBytes:
      out += QuoteJson(Base64Encode(value.bytes));
      return;
    case Kind::kList: {
      out += '{';
      OtlpPair pair;
      for (WireReader in(value.bytes); in.Next();) {
        if (in.Is(1, Type::kBytes) && ReadOtlpPair(in.bytes(), pair)) WriteOtlpJson(pair, out);
      }
      out += '}';
      return;
    }
    case Kind::kArray: {
      out += '[';
      for (WireReader in(value.bytes); in.Next();) {
        if (!in.Is(1, Type::kBytes)) continue;
        if (!out.ends_with('[')) out += ',';
        WriteOtlpJson(ReadOtlpValue(in.bytes()), out);
      }
      out += ']';
      return;
    }
    case Kind::kNone:
      break;
  }
  out += "null";
}

std::string_view OtlpText(std::string_view message, TextArena& arena) {
  const OtlpValue value = ReadOtlpValue(message);
  if (value.kind == Kind::kNone) return {};
  if (value.kind == Kind::kText) return value.bytes;
  std::string json;
  WriteOtlpJson(value, json);
  return arena.Copy(json);
}

}  // namespace yagura::ingestion
