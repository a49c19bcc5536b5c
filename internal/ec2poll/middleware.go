package ec2poll

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// operationDecoder is the name of the client's own decoder in its stack.
const operationDecoder = "OperationDeserializer"

// replaceDecoder lets decode take the body of answers with success; refusals
// stay with the client's own decoder.
func replaceDecoder(stack *middleware.Stack, decode func([]byte) error) error {
	own, there := stack.Deserialize.Get(operationDecoder)
	if !there {
		return errors.New("this version of the AWS client has no decoder to replace")
	}
	handle := func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		response, ok := out.RawResponse.(*smithyhttp.Response)
		if err != nil || !ok || response.StatusCode != http.StatusOK {
			return own.HandleDeserialize(ctx, in, answered{out, metadata, err})
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if _, huge := errors.AsType[*http.MaxBytesError](err); huge {
			err = &badAnswer{fmt.Errorf("the answer is over the limit of %d bytes", maxBody)}
		} else if err == nil {
			err = decode(body)
		}
		out.Result = &ec2.DescribeInstancesOutput{}
		return out, metadata, err
	}
	_, err := stack.Deserialize.Swap(operationDecoder, middleware.DeserializeMiddlewareFunc(operationDecoder, handle))
	return err
}

// answered hands on an answer that is there already.
type answered struct {
	out      middleware.DeserializeOutput
	metadata middleware.Metadata
	err      error
}

// HandleDeserialize returns the answer.
func (a answered) HandleDeserialize(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
	return a.out, a.metadata, a.err
}
