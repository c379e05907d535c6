#include "common/eventstore/row_binary.h"

#include <cstring>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::eventstore {
namespace {

constexpr size_t kMaxRowBytes = 256u << 20;
constexpr size_t kMaxColumns = 4096;
constexpr int kMaxTypeDepth = 8;

Status ProtocolError(std::string_view what) {
  return MakeError(absl::StatusCode::kInternal, "STORE_PROTOCOL",
                   fmt::format("event store sent a broken result: {}", what));
}

struct Type {
  enum class Shape { kFixed, kFloat32, kFloat64, kText, kFixedText, kIpv4, kUuid, kTime, kList };
  Shape shape = Shape::kText;
  Value::Kind kind = Value::Kind::kText;
  size_t width = 0;         // of fixed shapes, in bytes
  bool is_signed = false;   // of kFixed and kTime
  int64_t nanoseconds = 1;  // of one tick of kTime
  bool nullable = false;    //
  bool is_tuple = false;    // of kList: `items` once each, without a count
  std::vector<Type> items;  // element types of a kList; a Map has two
};

// Arguments of "Name(a, b(c, d), 'x,y')", split at the commas of the outer level.
std::vector<std::string_view> SplitArguments(std::string_view text) {
  std::vector<std::string_view> parts;
  int depth = 0;
  bool quoted = false;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '\'') quoted = false;
    } else if (c == '\'') {
      quoted = true;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')') {
      --depth;
    } else if (c == ',' && depth == 0) {
      parts.push_back(Trim(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  if (begin < text.size()) parts.push_back(Trim(text.substr(begin)));
  return parts;
}

Type Fixed(size_t width, bool is_signed) {
  Type type;
  type.shape = Type::Shape::kFixed;
  type.kind = is_signed ? Value::Kind::kSigned : Value::Kind::kUnsigned;
  type.width = width;
  type.is_signed = is_signed;
  return type;
}

Type Time(size_t width, bool is_signed, int64_t nanoseconds) {
  Type type = Fixed(width, is_signed);
  type.shape = Type::Shape::kTime;
  type.kind = Value::Kind::kTime;
  type.nanoseconds = nanoseconds;
  return type;
}

Type Text(Type::Shape shape, size_t width) {
  Type type;
  type.shape = shape;
  type.width = width;
  return type;
}

// Types without arguments that matter to us.
std::optional<Type> SimpleType(std::string_view name) {
  if (name == "String") return Text(Type::Shape::kText, 0);
  if (name == "UInt8" || name == "Bool") return Fixed(1, false);
  if (name == "UInt16") return Fixed(2, false);
  if (name == "UInt32") return Fixed(4, false);
  if (name == "UInt64") return Fixed(8, false);
  if (name == "Int8" || name == "Enum8") return Fixed(1, true);
  if (name == "Int16" || name == "Enum16") return Fixed(2, true);
  if (name == "Int32") return Fixed(4, true);
  if (name == "Int64") return Fixed(8, true);
  if (name == "IPv4") return Text(Type::Shape::kIpv4, 4);
  if (name == "IPv6") return Text(Type::Shape::kFixedText, 16);
  if (name == "UUID") return Text(Type::Shape::kUuid, 16);
  if (name == "Date") return Time(2, false, 86'400'000'000'000);
  if (name == "Date32") return Time(4, true, 86'400'000'000'000);
  if (name == "DateTime") return Time(4, false, 1'000'000'000);
  if (name == "Nothing") return Text(Type::Shape::kFixedText, 1);
  if (name == "Float32" || name == "Float64") {
    Type type = Text(name == "Float32" ? Type::Shape::kFloat32 : Type::Shape::kFloat64,
                     name == "Float32" ? 4 : 8);
    type.kind = Value::Kind::kDouble;
    return type;
  }
  return std::nullopt;
}

StatusOr<Type> ParseType(std::string_view text, int depth);

StatusOr<Type> ParseList(std::string_view name, const std::vector<std::string_view>& arguments,
                         int depth) {
  Type type;
  type.shape = Type::Shape::kList;
  type.kind = Value::Kind::kList;
  type.is_tuple = name == "Tuple";
  const size_t expected = name == "Array" ? 1 : 2;
  if (type.is_tuple ? arguments.empty() : arguments.size() != expected) {
    return ProtocolError("a type's arguments");
  }
  for (std::string_view argument : arguments) {
    auto item = ParseType(argument, depth + 1);
    if (!item.ok() && type.is_tuple) {  // a named element, "name Type"
      const size_t space = argument.find(' ');
      if (space != std::string_view::npos) item = ParseType(argument.substr(space + 1), depth + 1);
    }
    if (!item.ok()) return item.status();
    type.items.push_back(*std::move(item));
  }
  return type;
}

StatusOr<Type> ParseType(std::string_view text, int depth) {
  if (depth > kMaxTypeDepth) return ProtocolError("types nested too deeply");
  if (auto simple = SimpleType(text)) return *simple;
  const size_t open = text.find('(');
  if (open == std::string_view::npos || text.back() != ')') {
    return ProtocolError(fmt::format("unknown type \"{}\"", ToValidUtf8(text.substr(0, 100))));
  }
  const std::string_view name = text.substr(0, open);
  const auto arguments = SplitArguments(text.substr(open + 1, text.size() - open - 2));
  // SimpleType knows these three.
  if (name == "Enum8" || name == "Enum16" || name == "DateTime") return *SimpleType(name);
  if (name == "Array" || name == "Map" || name == "Tuple") return ParseList(name, arguments, depth);
  if (arguments.empty()) return ProtocolError("a type without arguments");
  if (name == "LowCardinality") return ParseType(arguments[0], depth + 1);
  if (name == "SimpleAggregateFunction" && arguments.size() == 2) {
    return ParseType(arguments[1], depth + 1);
  }
  if (name == "Nullable") {
    YAGURA_ASSIGN_OR_RETURN(Type type, ParseType(arguments[0], depth + 1));
    type.nullable = true;
    return type;
  }
  const auto number = ParseNumber<uint32_t>(arguments[0]);
  if (name == "FixedString" && number && *number > 0 && *number <= kMaxRowBytes) {
    return Text(Type::Shape::kFixedText, *number);
  }
  if (name == "DateTime64" && number && *number <= 9) {
    int64_t tick = 1;
    for (uint32_t i = *number; i < 9; ++i) tick *= 10;
    return Time(8, true, tick);
  }
  return ProtocolError(fmt::format("unknown type \"{}\"", ToValidUtf8(text.substr(0, 100))));
}

// Reads from a buffer that may end too early: every read says whether there was enough.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}
  size_t position() const { return position_; }

  bool Take(size_t count, std::string_view* out) {
    if (bytes_.size() - position_ < count) return false;
    *out = bytes_.substr(position_, count);
    position_ += count;
    return true;
  }

  bool VarUint(uint64_t* out) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (position_ >= bytes_.size()) return false;
      const auto byte = static_cast<uint8_t>(bytes_[position_++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) {
        *out = value;
        return true;
      }
    }
    broken_ = true;
    return false;
  }

  bool TakeText(std::string_view* out) {
    uint64_t size = 0;
    if (!VarUint(&size)) return false;
    if (size > kMaxRowBytes) {
      broken_ = true;
      return false;
    }
    return Take(size, out);
  }

  void Break() { broken_ = true; }
  bool broken() const { return broken_; }

 private:
  std::string_view bytes_;
  size_t position_ = 0;
  bool broken_ = false;
};

uint64_t Integer(std::string_view bytes, bool is_signed) {
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  if (is_signed && bytes.size() < 8 && (static_cast<uint8_t>(bytes.back()) & 0x80) != 0) {
    value |= ~uint64_t{0} << (bytes.size() * 8);
  }
  return value;
}

// The store keeps a UUID as two little-endian halves.
std::string UuidText(std::string_view bytes) {
  std::string big_endian;
  for (size_t half = 0; half < 2; ++half) {
    for (size_t i = 8; i > 0; --i) big_endian += bytes[half * 8 + i - 1];
  }
  std::string hex = HexEncode(big_endian);
  for (size_t at : {20, 16, 12, 8}) hex.insert(at, 1, '-');
  return hex;
}

bool ReadValue(const Type& type, Cursor& in, Value* out);

bool ReadList(const Type& type, Cursor& in, Value* out) {
  uint64_t count = 1;
  if (!type.is_tuple && !in.VarUint(&count)) return false;
  if (count > kMaxRowBytes) {
    in.Break();
    return false;
  }
  size_t used = 0;
  for (uint64_t i = 0; i < count; ++i) {
    for (const Type& item : type.items) {
      if (used == out->items.size()) out->items.emplace_back();
      if (!ReadValue(item, in, &out->items[used++])) return false;
    }
  }
  out->items.resize(used);
  return true;
}

bool ReadValue(const Type& type, Cursor& in, Value* out) {
  std::string_view bytes;
  if (type.nullable) {
    if (!in.Take(1, &bytes)) return false;
    if (bytes[0] != 0) {
      out->kind = Value::Kind::kNull;
      out->bits = 0;
      out->text.clear();
      out->items.clear();
      return true;
    }
  }
  out->kind = type.kind;
  switch (type.shape) {
    case Type::Shape::kList:
      return ReadList(type, in, out);
    case Type::Shape::kText:
      if (!in.TakeText(&bytes)) return false;
      out->text.assign(bytes);
      return true;
    default:
      if (!in.Take(type.width, &bytes)) return false;
  }
  switch (type.shape) {
    case Type::Shape::kFixed:
      out->bits = Integer(bytes, type.is_signed);
      break;
    case Type::Shape::kTime:
      out->bits = Integer(bytes, type.is_signed) * static_cast<uint64_t>(type.nanoseconds);
      break;
    case Type::Shape::kFloat32: {
      float value = 0;
      std::memcpy(&value, bytes.data(), sizeof(value));
      out->real = value;
      break;
    }
    case Type::Shape::kFloat64:
      std::memcpy(&out->real, bytes.data(), sizeof(out->real));
      break;
    case Type::Shape::kIpv4:
      out->text.assign(bytes.rbegin(), bytes.rend());
      break;
    case Type::Shape::kUuid:
      out->text = UuidText(bytes);
      break;
    default:
      out->text.assign(bytes);
  }
  return true;
}

}  // namespace

void RowBinaryWriter::VarUint(uint64_t value) {
  while (value >= 0x80) {
    out_ += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out_ += static_cast<char>(value);
}

void RowBinaryWriter::Text(std::string_view value) {
  VarUint(value.size());
  out_.append(value);
}

struct RowBinaryReader::Impl {
  RowVisitor visit;
  std::string pending;  // bytes of an unfinished row or header
  std::vector<ColumnInfo> columns;
  std::vector<Type> types;
  Row row;
  bool header_read = false;

  // Bytes used by the header; nothing where it is not all there yet.
  StatusOr<std::optional<size_t>> ReadHeader(std::string_view bytes) {
    Cursor in(bytes);
    uint64_t count = 0;
    if (!in.VarUint(&count)) return Incomplete(in);
    if (count == 0 || count > kMaxColumns) return ProtocolError("number of columns");
    std::vector<ColumnInfo> found(count);
    std::string_view text;
    for (ColumnInfo& column : found) {
      if (!in.TakeText(&text)) return Incomplete(in);
      column.name = text;
    }
    for (ColumnInfo& column : found) {
      if (!in.TakeText(&text)) return Incomplete(in);
      column.type = text;
    }
    for (const ColumnInfo& column : found) {
      YAGURA_ASSIGN_OR_RETURN(Type type, ParseType(column.type, 0));
      types.push_back(std::move(type));
    }
    columns = std::move(found);
    row.resize(columns.size());
    header_read = true;
    return std::optional<size_t>(in.position());
  }

  static StatusOr<std::optional<size_t>> Incomplete(const Cursor& in) {
    if (in.broken()) return ProtocolError("a length");
    return std::optional<size_t>();
  }

  // Bytes used by the next row; nothing where it is not all there yet.
  StatusOr<std::optional<size_t>> ReadRow(std::string_view bytes) {
    Cursor in(bytes);
    for (size_t i = 0; i < types.size(); ++i) {
      if (!ReadValue(types[i], in, &row[i])) return Incomplete(in);
    }
    return std::optional<size_t>(in.position());
  }

  // Decodes what is complete in `bytes`; says how many bytes that was.
  StatusOr<size_t> Consume(std::string_view bytes) {
    size_t used = 0;
    if (!header_read) {
      YAGURA_ASSIGN_OR_RETURN(const auto header, ReadHeader(bytes));
      if (!header.has_value()) return size_t{0};
      used = *header;
    }
    while (used < bytes.size()) {
      YAGURA_ASSIGN_OR_RETURN(const auto step, ReadRow(bytes.substr(used)));
      if (!step.has_value()) break;
      used += *step;
      YAGURA_RETURN_IF_ERROR(visit(row));
    }
    return used;
  }
};

RowBinaryReader::RowBinaryReader(RowVisitor visit) : impl_(std::make_unique<Impl>()) {
  impl_->visit = std::move(visit);
}
RowBinaryReader::~RowBinaryReader() = default;

Status RowBinaryReader::Feed(std::string_view bytes) {
  if (impl_->pending.empty()) {
    YAGURA_ASSIGN_OR_RETURN(const size_t used, impl_->Consume(bytes));
    impl_->pending.assign(bytes.substr(used));
  } else {
    impl_->pending.append(bytes);
    YAGURA_ASSIGN_OR_RETURN(const size_t used, impl_->Consume(impl_->pending));
    impl_->pending.erase(0, used);
  }
  if (impl_->pending.size() > kMaxRowBytes) return ProtocolError("a row is too large");
  return absl::OkStatus();
}

Status RowBinaryReader::Finish() const {
  if (!impl_->pending.empty()) return ProtocolError("it ended within a row");
  return absl::OkStatus();
}

const std::vector<ColumnInfo>& RowBinaryReader::columns() const { return impl_->columns; }

}  // namespace yagura::eventstore
