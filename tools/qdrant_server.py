"""A server with Qdrant's gRPC interface for tests, out of Qdrant's own published parts.

The service and its messages are those of the package `qdrant-client`; what is stored, filtered and scored is Qdrant's engine
as the package `qdrant-edge-py` brings it, with one shard per collection. It is not Qdrant's server, which no package brings:
clusters, optimizers that run beside the requests, strict mode and snapshots are not there, and a request that the tests do
not make is refused.

    python tools/qdrant_server.py ADDRESS_FILE    # writes its address there once it listens
"""

import os
import sys
import tempfile
from concurrent import futures

import grpc
import qdrant_edge as edge
from qdrant_client import grpc as q
from qdrant_client.conversions.conversion import grpc_to_payload, payload_to_grpc

from qdrant_client.grpc import collections_service_pb2_grpc, points_service_pb2_grpc

DISTANCES = {q.Dot: edge.Distance.Dot, q.Cosine: edge.Distance.Cosine, q.Euclid: edge.Distance.Euclid}


def one_of(message, group):
    name = message.WhichOneof(group)
    if name is None:
        raise ValueError(f"no {group} in {message}")
    return name, getattr(message, name)


def optional(message, *fields):
    return {field: getattr(message, field) for field in fields if message.HasField(field)}


def point_id(message):
    return one_of(message, "point_id_options")[1]


def point_number(number):
    return q.PointId(num=number)


def match(message):
    name, value = one_of(message, "match_value")
    makers = {
        "keyword": edge.MatchValue,
        "boolean": edge.MatchValue,
        "integer": edge.MatchValue,
        "keywords": lambda list: edge.MatchAny(any=[*list.strings]),
        "prefix": edge.MatchPrefix,
    }
    return makers[name](value)


def condition(message):
    name, value = one_of(message, "condition_one_of")
    if name == "filter":
        return filter_of(value)
    if name == "has_id":
        return edge.HasIdCondition({point_id(id) for id in value.has_id})
    if name == "has_vector":
        return edge.HasVectorCondition(value.has_vector)
    if name == "field" and value.HasField("match"):
        return edge.FieldCondition(value.key, match=match(value.match))
    if name == "field" and value.HasField("range"):
        return edge.FieldCondition(value.key, range=edge.RangeFloat(**optional(value.range, "gte", "gt", "lte", "lt")))
    raise ValueError(f"no such condition here: {name}")


def filter_of(message):
    parts = {"must": message.must, "should": message.should, "must_not": message.must_not}
    return edge.Filter(**{name: [condition(part) for part in parts] for name, parts in parts.items() if parts})


def vector(message):
    name, value = one_of(message, "vector")
    return edge.SparseVector([*value.indices], [*value.values]) if name == "sparse" else [*value.data]


def point(message):
    vectors = {name: vector(value) for name, value in message.vectors.vectors.vectors.items()}
    return edge.Point(point_id(message.id), vectors, grpc_to_payload(message.payload))


def params(message):
    corpus = filter_of(message.idf.corpus) if message.idf.HasField("corpus") else None
    return edge.SearchParams(exact=message.exact, idf=edge.IdfParams(corpus=corpus) if corpus else None)


def query(message):
    nearest = one_of(message.query, "variant")
    if nearest[0] != "nearest":
        raise ValueError(f"no such query here: {nearest[0]}")
    name, value = one_of(nearest[1], "variant")
    vector = edge.SparseVector([*value.indices], [*value.values]) if name == "sparse" else [*value.data]
    return edge.QueryRequest(
        limit=message.limit,
        query=edge.Query.Nearest(vector, using=message.using),
        filter=filter_of(message.filter) if message.HasField("filter") else None,
        params=params(message.params),
        with_payload=message.with_payload.enable,
        with_vector=[*message.with_vectors.include.names],
    )


def vectors(model):
    def output(value):
        if isinstance(value, edge.SparseVector):
            return q.VectorOutput(sparse=q.SparseVector(indices=value.indices, values=value.values))
        return q.VectorOutput(dense=q.DenseVector(data=value))

    return q.VectorsOutput(vectors=q.NamedVectorsOutput(vectors={name: output(v) for name, v in (model or {}).items()}))


def scored(found):
    return [
        q.ScoredPoint(
            id=point_number(one.id), payload=payload_to_grpc(one.payload or {}), score=one.score, vectors=vectors(one.vector)
        )
        for one in found
    ]


def answered(respond):
    """What the engine refuses is an error of the request, not of the server."""

    def answer(self, request, context):
        try:
            return respond(self, request)
        except Exception as error:  # noqa: BLE001
            missing = isinstance(error, KeyError)
            context.abort(grpc.StatusCode.NOT_FOUND if missing else grpc.StatusCode.INVALID_ARGUMENT, repr(error))

    return answer


class Collections(collections_service_pb2_grpc.CollectionsServicer):
    def __init__(self, folder):
        self.folder, self.made, self.shards, self.about = folder, 0, {}, {}

    @answered
    def CollectionExists(self, request):
        exists = request.collection_name in self.shards
        return q.CollectionExistsResponse(result=q.CollectionExists(exists=exists))

    @answered
    def Create(self, request):
        if request.collection_name in self.shards:
            raise ValueError(f"{request.collection_name} exists")
        dense = {
            name: edge.EdgeVectorParams(value.size, DISTANCES[value.distance])
            for name, value in request.vectors_config.params_map.map.items()
        }
        sparse = {
            name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if value.modifier == q.Modifier.Idf else None)
            for name, value in request.sparse_vectors_config.map.items()
        }
        self.made += 1
        place = os.path.join(self.folder, str(self.made))
        os.mkdir(place)
        config = edge.EdgeConfig(vectors=dense, sparse_vectors=sparse)
        self.shards[request.collection_name] = edge.EdgeShard.create(place, config)
        self.about[request.collection_name] = request
        return q.CollectionOperationResponse(result=True)

    @answered
    def Delete(self, request):
        self.shards.pop(request.collection_name, None)
        return q.CollectionOperationResponse(result=True)

    @answered
    def Get(self, request):
        made, shard = self.about[request.collection_name], self.shards[request.collection_name]
        params = q.CollectionParams(
            vectors_config=made.vectors_config, sparse_vectors_config=made.sparse_vectors_config
        )
        config = q.CollectionConfig(params=params, metadata=made.metadata)
        info = q.CollectionInfo(status=q.CollectionStatus.Green, config=config, points_count=shard.info().points_count)
        return q.GetCollectionInfoResponse(result=info)


class Points(points_service_pb2_grpc.PointsServicer):
    def __init__(self, shards):
        self.shards = shards

    @answered
    def CreateFieldIndex(self, request):
        assert request.field_type == q.FieldType.FieldTypeKeyword, request.field_type
        keyword = request.field_index_params.keyword_index_params
        params = edge.KeywordIndexParams(prefix=keyword.HasField("prefix"))
        operation = edge.UpdateOperation.create_field_index(request.field_name, params)
        self.shards[request.collection_name].update(operation)
        return q.PointsOperationResponse(result=q.UpdateResult(status=q.UpdateStatus.Completed))

    @answered
    def UpdateBatch(self, request):
        def operation(message):
            name, value = one_of(message, "operation")
            if name == "upsert":
                return edge.UpdateOperation.upsert_points([point(one) for one in value.points])
            if name == "delete_points" and value.points.HasField("filter"):
                return edge.UpdateOperation.delete_points_by_filter(filter_of(value.points.filter))
            raise ValueError(f"no such operation here: {name}")

        # All are read before the first is done, as by Qdrant.
        shard = self.shards[request.collection_name]
        for one in [operation(message) for message in request.operations]:
            shard.update(one)
        done = q.UpdateResult(status=q.UpdateStatus.Completed)
        return q.UpdateBatchResponse(result=[done for _ in request.operations])

    @answered
    def Query(self, request):
        return q.QueryResponse(result=scored(self.shards[request.collection_name].query(query(request))))

    @answered
    def QueryBatch(self, request):
        shard = self.shards[request.collection_name]
        results = [q.BatchResult(result=scored(shard.query(query(one)))) for one in request.query_points]
        return q.QueryBatchResponse(result=results)

    @answered
    def Get(self, request):
        ids = [point_id(id) for id in request.ids]
        shard = self.shards[request.collection_name]
        found = shard.retrieve(ids, with_payload=request.with_payload.enable, with_vector=False)
        points = [q.RetrievedPoint(id=point_number(one.id), payload=payload_to_grpc(one.payload or {})) for one in found]
        return q.GetResponse(result=points)

    @answered
    def Count(self, request):
        asked = edge.CountRequest(exact=request.exact, filter=filter_of(request.filter))
        return q.CountResponse(result=q.CountResult(count=self.shards[request.collection_name].count(asked)))


def main(address_file):
    with tempfile.TemporaryDirectory() as folder:
        # One after the other: a shard is not to be changed by two at once.
        server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=1),
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        collections = Collections(folder)
        collections_service_pb2_grpc.add_CollectionsServicer_to_server(collections, server)
        points_service_pb2_grpc.add_PointsServicer_to_server(Points(collections.shards), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with open(f"{address_file}.tmp", "w", encoding="utf-8") as file:
            file.write(f"http://127.0.0.1:{port}")
        os.rename(f"{address_file}.tmp", address_file)
        server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1])
