#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <unordered_map>

#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/event/batch_format.h"
#include "common/event/core_table.h"
#include "common/status/status.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::event {
namespace {

Status Bad(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_BATCH", what);
}

// Memory without a needless fill with zeros.
struct Buffer {
  std::unique_ptr<char[]> data;
  size_t size = 0;
  std::string_view view() const { return {data.get(), size}; }
};

StatusOr<Buffer> Decompress(std::string_view stored, size_t plain_size, uint8_t compression) {
  Buffer out{std::make_unique_for_overwrite<char[]>(plain_size), plain_size};
  bool good = false;
  switch (static_cast<BatchBuilder::Compression>(compression)) {
    case BatchBuilder::Compression::kNone:
      good = stored.size() == plain_size;
      if (good) std::copy(stored.begin(), stored.end(), out.data.get());
      break;
    case BatchBuilder::Compression::kLz4:
      good = LZ4_decompress_safe(stored.data(), out.data.get(), static_cast<int>(stored.size()),
                                 static_cast<int>(plain_size)) == static_cast<int>(plain_size);
      break;
    case BatchBuilder::Compression::kZstd:
      good =
          ZSTD_decompress(out.data.get(), plain_size, stored.data(), stored.size()) == plain_size;
      break;
    default:
      return Bad("the batch has an unknown compression");
  }
  if (!good) return Bad("a section of the batch does not decompress to its stated size");
  return out;
}

uint64_t Little(std::string_view bytes, size_t at, int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; ++i) {
    value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  }
  return value;
}

bool ReadSparse(ByteReader& in, size_t events, size_t distinct, std::vector<uint16_t>& rows) {
  uint64_t count = 0;
  if (!in.Varint(count) || count > events) return false;
  rows.assign(events, 0);
  uint64_t next = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t gap = 0;
    uint64_t value = 0;
    if (!in.Varint(gap) || gap >= events - next || !in.Varint(value)) return false;
    if (value == 0 || value > distinct) return false;
    rows[next + gap] = static_cast<uint16_t>(value);
    next += gap + 1;
    if (next == events && i + 1 < count) return false;
  }
  return true;
}

bool ReadDense(ByteReader& in, size_t events, size_t distinct, size_t width,
               std::vector<uint16_t>& rows) {
  std::string_view bytes;
  if (!in.Bytes(events * width, bytes)) return false;
  rows.resize(events);
  for (size_t row = 0; row < events; ++row) {
    rows[row] = static_cast<uint16_t>(Little(bytes, row * width, static_cast<int>(width)));
    if (rows[row] > distinct) return false;
  }
  return true;
}

bool ReadRows(ByteReader& in, size_t events, size_t distinct, std::vector<uint16_t>& rows) {
  uint8_t mode = 0;
  if (!in.Byte(mode)) return false;
  switch (static_cast<RowMode>(mode)) {
    case RowMode::kConstant:
      rows.assign(events, 1);
      return distinct == 1;
    case RowMode::kIdentity:
      rows.resize(events);
      for (size_t row = 0; row < events; ++row) rows[row] = static_cast<uint16_t>(row + 1);
      return distinct == events;
    case RowMode::kBytes:
      return ReadDense(in, events, distinct, 1, rows);
    case RowMode::kWords:
      return ReadDense(in, events, distinct, 2, rows);
    case RowMode::kSparse:
      return ReadSparse(in, events, distinct, rows);
  }
  return false;
}

bool ReadTexts(ByteReader& in, size_t distinct, std::vector<std::string_view>& texts) {
  std::vector<uint64_t> sizes(distinct);
  for (uint64_t& size : sizes) {
    if (!in.Varint(size)) return false;
  }
  texts.reserve(distinct);
  for (const uint64_t size : sizes) {
    std::string_view text;
    if (!in.Bytes(size, text)) return false;
    texts.push_back(text);
  }
  return true;
}

StatusOr<Column> DecodeColumn(std::string_view bytes, ColumnKind kind, size_t events) {
  const Status broken = Bad("a column of the batch is broken");
  ByteReader in(bytes);
  Column column;
  column.kind = kind;
  uint64_t distinct = 0;
  if (!in.Varint(distinct) || distinct > events) return broken;
  if (kind == ColumnKind::kText) {
    if (!ReadTexts(in, distinct, column.texts)) return broken;
  } else {
    column.numbers.reserve(distinct);
    for (uint64_t i = 0; i < distinct; ++i) {
      uint64_t value = 0;
      if (!in.Varint(value)) return broken;
      column.numbers.push_back(kind == ColumnKind::kTime ? UnZigZag(value)
                                                         : static_cast<int64_t>(value));
    }
  }
  if (!ReadRows(in, events, distinct, column.rows) || !in.rest().empty()) return broken;
  return column;
}

// A column in the directory, decoded when it is first asked for.
struct Slot {
  std::string_view bytes;
  std::unique_ptr<Column> column;
};

struct FieldSlot {
  std::string_view name;
  uint64_t occurrence = 0;
  size_t next = SIZE_MAX;  // column of the next occurrence of this name
  Slot slot;
};

}  // namespace

ColumnKind KindOf(Core column) { return RowOf(column).kind; }

struct BatchReader::Impl {
  BatchHeader header;
  size_t events = 0;
  uint8_t compression = 0;
  Buffer section_a;
  std::string stored_b;
  size_t plain_b = 0;
  std::optional<Buffer> section_b;
  std::vector<std::string_view> raw_lines;
  std::array<std::optional<Slot>, kMaxCore> core;
  std::vector<FieldSlot> fields;
  std::unordered_map<std::string_view, size_t> first_by_name;
  std::vector<std::string_view> names;
  Slot shapes;
  std::optional<FieldTable> field_table;
  std::array<const Column*, kMaxCore> decoded{};
  bool all_decoded = false;

  Status ParseEnvelope(std::string_view bytes) {
    if (bytes.size() < kEnvelopeSize || bytes.substr(0, 4) != kBatchMagic) {
      return Bad("these bytes are not a batch of events");
    }
    compression = static_cast<uint8_t>(bytes[4]);
    const size_t plain_a = Little(bytes, 8, 4);
    const size_t size_a = Little(bytes, 12, 4);
    plain_b = Little(bytes, 16, 4);
    const size_t size_b = Little(bytes, 20, 4);
    const std::string_view body = bytes.substr(kEnvelopeSize);
    if (plain_a > kMaxSectionBytes || plain_b > kMaxSectionBytes ||
        body.size() != size_a + size_b) {
      return Bad("the sizes in the head of the batch are wrong");
    }
    if (HashOfBatch(bytes) != Little(bytes, kHashOffset, 8)) {
      return Bad("the batch is damaged: its hash does not match");
    }
    stored_b = body.substr(size_a);
    YAGURA_ASSIGN_OR_RETURN(section_a, Decompress(body.substr(0, size_a), plain_a, compression));
    return ParseSectionA();
  }

  Status ParseSectionA() {
    const Status broken = Bad("the directory of the batch is broken");
    ByteReader in(section_a.view());
    uint64_t count = 0;
    uint64_t time = 0;
    std::string_view tenant;
    std::string_view id;
    if (!in.Varint(count) || count > BatchBuilder::kMaxEvents) return broken;
    events = count;
    if (!in.Text(tenant) || !in.Text(id) || !in.Varint(time)) return broken;
    header.tenant = tenant;
    header.batch_id = id;
    header.receive_time = TimePoint(std::chrono::nanoseconds(UnZigZag(time)));
    std::vector<std::pair<uint8_t, uint64_t>> core_sizes;
    std::vector<uint64_t> field_sizes;
    if (!ParseCoreDirectory(in, core_sizes) || !ParseFieldDirectory(in, field_sizes)) return broken;
    if (events * (core_sizes.size() + field_sizes.size()) > kMaxCells) {
      return Bad("the batch has too many columns");
    }
    uint64_t shapes_size = 0;
    if (!in.Varint(shapes_size)) return broken;
    for (const auto& [number, size] : core_sizes) {
      // ParseCoreDirectory has filled the slot of every number that it returned.
      if (!in.Bytes(size, core[number - 1]->bytes)) return broken;
    }
    for (size_t i = 0; i < fields.size(); ++i) {
      if (!in.Bytes(field_sizes[i], fields[i].slot.bytes)) return broken;
    }
    if (!in.Bytes(shapes_size, shapes.bytes) || !in.rest().empty()) return broken;
    return LinkFields();
  }

  bool ParseCoreDirectory(ByteReader& in, std::vector<std::pair<uint8_t, uint64_t>>& sizes) {
    uint64_t count = 0;
    if (!in.Varint(count) || count > kMaxCore) return false;
    for (uint64_t i = 0; i < count; ++i) {
      uint8_t number = 0;
      uint64_t size = 0;
      if (!in.Byte(number) || !in.Varint(size)) return false;
      if (number == 0 || number > kMaxCore || core[number - 1]) return false;
      core[number - 1].emplace();
      sizes.emplace_back(number, size);
    }
    return true;
  }

  bool ParseFieldDirectory(ByteReader& in, std::vector<uint64_t>& sizes) {
    uint64_t count = 0;
    if (!in.Varint(count) || count > kMaxFieldColumns) return false;
    fields.resize(count);
    sizes.resize(count);
    for (size_t i = 0; i < count; ++i) {
      if (!in.Text(fields[i].name) || !in.Varint(fields[i].occurrence) || !in.Varint(sizes[i])) {
        return false;
      }
    }
    return true;
  }

  Status LinkFields() {
    std::unordered_map<std::string_view, size_t> last;
    first_by_name.reserve(fields.size());
    for (size_t i = 0; i < fields.size(); ++i) {
      const auto [place, fresh] = first_by_name.try_emplace(fields[i].name, i);
      const uint64_t expected = fresh ? 0 : fields[last[fields[i].name]].occurrence + 1;
      if (fields[i].occurrence != expected) return Bad("the fields of the batch are out of order");
      if (fresh) {
        names.push_back(fields[i].name);
      } else {
        fields[last[fields[i].name]].next = i;
      }
      last[fields[i].name] = i;
    }
    return absl::OkStatus();
  }

  StatusOr<const Column*> Decode(Slot& slot, ColumnKind kind) {
    if (!slot.column) {
      YAGURA_ASSIGN_OR_RETURN(Column column, DecodeColumn(slot.bytes, kind, events));
      slot.column = std::make_unique<Column>(std::move(column));
    }
    return slot.column.get();
  }

  StatusOr<const Column*> ReadCore(Core column) {
    static const Column kEmptyText{ColumnKind::kText, {}, {}, {}};
    static const Column kEmptyNumber{ColumnKind::kNumber, {}, {}, {}};
    static const Column kEmptyTime{ColumnKind::kTime, {}, {}, {}};
    auto& slot = core[static_cast<size_t>(column) - 1];
    if (slot) return Decode(*slot, KindOf(column));
    switch (KindOf(column)) {
      case ColumnKind::kText:
        return &kEmptyText;
      case ColumnKind::kNumber:
        return &kEmptyNumber;
      case ColumnKind::kTime:
        return &kEmptyTime;
    }
    return Internal("a column has no kind");
  }

  Status LoadRaw() {
    if (section_b) return absl::OkStatus();
    YAGURA_ASSIGN_OR_RETURN(Buffer plain, Decompress(stored_b, plain_b, compression));
    std::vector<std::string_view> lines;
    ByteReader in(plain.view());
    if (!ReadTexts(in, events, lines) || !in.rest().empty()) {
      return Bad("the raw lines of the batch are broken");
    }
    raw_lines = std::move(lines);
    section_b = std::move(plain);
    stored_b.clear();
    return absl::OkStatus();
  }

  // Decodes everything and checks what Get relies on.
  Status DecodeAll() {
    if (all_decoded) return absl::OkStatus();
    YAGURA_RETURN_IF_ERROR(LoadRaw());
    for (int i = 0; i < kMaxCore; ++i) {
      YAGURA_ASSIGN_OR_RETURN(decoded[i], ReadCore(static_cast<Core>(i + 1)));
    }
    for (FieldSlot& field : fields) {
      YAGURA_RETURN_IF_ERROR(Decode(field.slot, ColumnKind::kText).status());
    }
    YAGURA_ASSIGN_OR_RETURN(const Column* orders, Decode(shapes, ColumnKind::kText));
    for (const std::string_view shape : orders->texts) {
      if (!IsShape(shape)) return Bad("the order of fields in the batch is broken");
    }
    all_decoded = true;
    return absl::OkStatus();
  }

  StatusOr<const FieldTable*> ReadFields() {
    if (field_table) return &*field_table;
    FieldTable table;
    table.sources.reserve(fields.size());
    for (FieldSlot& field : fields) {
      YAGURA_ASSIGN_OR_RETURN(const Column* column, Decode(field.slot, ColumnKind::kText));
      table.sources.push_back({field.name, field.occurrence, column});
    }
    YAGURA_ASSIGN_OR_RETURN(const Column* orders, Decode(shapes, ColumnKind::kText));
    for (const std::string_view shape : orders->texts) {
      if (!IsShape(shape)) return Bad("the order of fields in the batch is broken");
      std::vector<uint16_t>& order = table.orders.emplace_back();
      order.reserve(shape.size() / 2);
      for (size_t at = 0; at < shape.size(); at += 2) {
        order.push_back(static_cast<uint16_t>(Little(shape, at, 2)));
      }
    }
    table.rows = orders->rows;
    for (size_t row = 0; row < table.rows.size(); ++row) {
      if (table.rows[row] == 0) continue;
      for (const uint16_t source : table.orders[table.rows[row] - 1]) {
        if (!table.sources[source].column->has(row)) {
          return Bad("a field of an event has no value");
        }
      }
    }
    field_table = std::move(table);
    return &*field_table;
  }

  // A list of fields that are there.
  bool IsShape(std::string_view shape) const {
    if (shape.size() % 2 != 0 || shape.size() / 2 > BatchBuilder::kMaxFieldsPerEvent) return false;
    for (size_t at = 0; at < shape.size(); at += 2) {
      if (Little(shape, at, 2) >= fields.size()) return false;
    }
    return true;
  }

  const Column& At(Core column) const { return *decoded[static_cast<size_t>(column) - 1]; }

  void FillEndpoint(Core first, size_t row, v1::Event* event, bool source) const {
    const auto column = [&](int offset) -> const Column& {
      return At(static_cast<Core>(static_cast<int>(first) + offset));
    };
    bool any = false;
    for (int offset = 0; offset < 9 && !any; ++offset) any = column(offset).has(row);
    if (!any) return;
    v1::Endpoint* end = source ? event->mutable_src() : event->mutable_dst();
    end->set_ip(std::string(column(0).text(row)));
    end->set_port(static_cast<uint32_t>(column(1).number(row)));
    end->set_translated_ip(std::string(column(2).text(row)));
    end->set_translated_port(static_cast<uint32_t>(column(3).number(row)));
    end->set_host(std::string(column(4).text(row)));
    end->set_interface(std::string(column(5).text(row)));
    end->set_zone(std::string(column(6).text(row)));
    end->set_mac(std::string(column(7).text(row)));
    end->set_country(std::string(column(8).text(row)));
  }

  Status FillFields(size_t row, v1::Event* event) const {
    const std::string_view shape = shapes.column->text(row);
    for (size_t at = 0; at < shape.size(); at += 2) {
      const FieldSlot& field = fields[Little(shape, at, 2)];
      if (!field.slot.column->has(row)) return Bad("a field of an event has no value");
      v1::Field* out = event->add_fields();
      out->set_name(field.name.data(), field.name.size());
      const std::string_view value = field.slot.column->text(row);
      out->set_value(value.data(), value.size());
    }
    return absl::OkStatus();
  }

  Status Fill(size_t row, v1::Event* event) const {
    const auto text = [&](Core column) { return std::string(At(column).text(row)); };
    const auto number = [&](Core column) { return At(column).number(row); };
    const auto time = [&](Core column) {
      return TimePoint(std::chrono::nanoseconds(At(column).signed_number(row)));
    };
    event->Clear();
    event->set_id(event::EventId(header.batch_id, row));
    event->set_tenant(header.tenant);
    event->set_site(text(Core::kSite));
    event->set_device(text(Core::kDevice));
    if (At(Core::kReceiveTime).has(row)) {
      *event->mutable_receive_time() = ToProto(time(Core::kReceiveTime));
    }
    if (At(Core::kEventTime).has(row)) {
      *event->mutable_event_time() = ToProto(time(Core::kEventTime));
    }
    event->set_raw(raw_lines[row].data(), raw_lines[row].size());
    event->set_product(text(Core::kProduct));
    event->set_category(text(Core::kCategory));
    event->set_severity(static_cast<v1::Severity>(static_cast<int>(number(Core::kSeverity))));
    event->set_action(static_cast<v1::Action>(static_cast<int>(number(Core::kAction))));
    FillEndpoint(Core::kSrcIp, row, event, true);
    FillEndpoint(Core::kDstIp, row, event, false);
    event->set_message(text(Core::kMessage));
    event->set_protocol(text(Core::kProtocol));
    event->set_app(text(Core::kApp));
    event->set_bytes_out(number(Core::kBytesOut));
    event->set_bytes_in(number(Core::kBytesIn));
    event->set_packets_out(number(Core::kPacketsOut));
    event->set_packets_in(number(Core::kPacketsIn));
    if (At(Core::kDuration).has(row)) {
      *event->mutable_duration() =
          ToProtoDuration(std::chrono::nanoseconds(At(Core::kDuration).signed_number(row)));
    }
    event->set_rule(text(Core::kRule));
    event->set_signature_id(text(Core::kSignatureId));
    event->set_signature(text(Core::kSignature));
    event->set_user(text(Core::kUser));
    event->set_url(text(Core::kUrl));
    event->set_session(text(Core::kSession));
    event->set_virtual_context(text(Core::kVirtualContext));
    event->set_direction(text(Core::kDirection));
    event->set_program(text(Core::kProgram));
    event->set_host(text(Core::kHost));
    event->set_origin(text(Core::kOrigin));
    for (int flaw = 1; flaw < 64; ++flaw) {
      if (number(Core::kFlaws) >> flaw & 1) event->add_flaws(static_cast<v1::Flaw>(flaw));
    }
    event->set_parse_error(text(Core::kParseError));
    event->set_vendor_event_id(text(Core::kVendorEventId));
    return FillFields(row, event);
  }
};

StatusOr<BatchReader> BatchReader::Open(std::string_view bytes) {
  auto impl = std::make_unique<Impl>();
  YAGURA_RETURN_IF_ERROR(impl->ParseEnvelope(bytes));
  return BatchReader(std::move(impl));
}

size_t ClaimedEvents(std::string_view batch) {
  if (batch.size() < kEnvelopeSize || !batch.starts_with(kBatchMagic)) return 0;
  return std::min<size_t>(Little(batch, kEventsOffset, 2), BatchBuilder::kMaxEvents);
}

BatchReader::BatchReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BatchReader::BatchReader(BatchReader&&) noexcept = default;
BatchReader& BatchReader::operator=(BatchReader&&) noexcept = default;
BatchReader::~BatchReader() = default;

const BatchHeader& BatchReader::header() const { return impl_->header; }
size_t BatchReader::size() const { return impl_->events; }

Status BatchReader::Get(size_t index, v1::Event* event) {
  if (index >= impl_->events) return Bad("the batch has no event of that index");
  YAGURA_RETURN_IF_ERROR(impl_->DecodeAll());
  return impl_->Fill(index, event);
}

StatusOr<const Column*> BatchReader::Read(Core column) { return impl_->ReadCore(column); }

StatusOr<const Column*> BatchReader::ReadField(std::string_view name) {
  static const Column kEmpty{};
  const auto found = impl_->first_by_name.find(name);
  if (found == impl_->first_by_name.end()) return &kEmpty;
  return impl_->Decode(impl_->fields[found->second].slot, ColumnKind::kText);
}

const std::vector<std::string_view>& BatchReader::field_names() const { return impl_->names; }

StatusOr<std::vector<const Column*>> BatchReader::ReadFieldAll(std::string_view name) {
  std::vector<const Column*> columns;
  const auto found = impl_->first_by_name.find(name);
  if (found == impl_->first_by_name.end()) return columns;
  for (size_t at = found->second; at != SIZE_MAX; at = impl_->fields[at].next) {
    YAGURA_ASSIGN_OR_RETURN(const Column* column,
                            impl_->Decode(impl_->fields[at].slot, ColumnKind::kText));
    columns.push_back(column);
  }
  return columns;
}

StatusOr<const FieldTable*> BatchReader::ReadFields() { return impl_->ReadFields(); }

StatusOr<std::string_view> BatchReader::Raw(size_t index) {
  if (index >= impl_->events) return Bad("the batch has no event of that index");
  YAGURA_RETURN_IF_ERROR(impl_->LoadRaw());
  return impl_->raw_lines[index];
}

StatusOr<const std::vector<std::string_view>*> BatchReader::RawLines() {
  YAGURA_RETURN_IF_ERROR(impl_->LoadRaw());
  return &impl_->raw_lines;
}

}  // namespace yagura::event
